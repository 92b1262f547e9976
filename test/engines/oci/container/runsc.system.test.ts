/**
 * gVisor's runtime by name. Fakes show how it is probed and reported; the real one is tested if installed.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diagnoseOci } from '../../../../src/engines/oci/doctor/diagnose.ts';
import { findProgram } from '../../../../src/engines/oci/host/host-program.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { run } from '../../../conformance/support/run.ts';
import { needs } from '../../../support/needs.ts';
import { AGENT_PATH, openOciEngines } from '../support/oci-engines.ts';

const real = findProgram('runc') ?? findProgram('crun');

/** Provides a program called `runsc` while `use` runs. */
async function withStandIn(script: string, use: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'runsc-'));
  try {
    const path = join(folder, 'runsc');
    await writeFile(path, script);
    await chmod(path, 0o755);
    await use(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('--oci-runtime runsc', () => {
  it(
    'is tested by running a sandbox, then used and reported',
    needs('crun or runc to stand in for it', real !== null),
    async () => {
      await withStandIn(`#!/bin/sh\nexec ${real} "$@"\n`, async (path) => {
        const under = await openOciEngines(path, 'runsc');
        const shared = await under.engine.create(createRequest(), timeoutSignal());
        try {
          const subject = { ...under, shared, create: async () => shared };
          expect(await run(subject, 'echo', ['inside'])).toMatchObject({ exitCode: 0, stdout: 'inside\n' });
        } finally {
          await under.engine.forget(shared.sandboxId, timeoutSignal());
          await under.close();
        }
      });
    },
  );

  it('is unavailable, without a fallback, when it cannot run a sandbox', async () => {
    const script =
      '#!/bin/sh\n[ "$1" = --version ] && echo "runsc version release-1" && exit\necho no such flag >&2\nexit 128\n';
    await withStandIn(script, async (path) => {
      await expect(openOciEngines(path)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('tried runsc'),
        hint: expect.stringContaining('sandbox-mcp doctor'),
      });
      const stateDir = await mkdtemp(join(tmpdir(), 'runsc-state-'));
      await chmod(stateDir, 0o711);
      const { works, findings } = await diagnoseOci({ stateDir, ociRuntime: path, agentPath: AGENT_PATH });
      await rm(stateDir, { recursive: true, force: true });
      expect(works).toBe(false);
      expect(JSON.stringify(findings)).toContain('no such flag');
    });
  });

  const expectRefusal = async (runsc: string) => {
    await expect(openOciEngines(runsc)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('tried runsc'),
      hint: expect.stringContaining('no `run --preserve-fds`'),
    });
    const stateDir = await mkdtemp(join(tmpdir(), 'runsc-state-'));
    await chmod(stateDir, 0o711);
    const { works, findings } = await diagnoseOci({ stateDir, ociRuntime: runsc, agentPath: AGENT_PATH });
    await rm(stateDir, { recursive: true, force: true });
    expect(works).toBe(false);
    const errors = findings.filter(({ level }) => level === 'error');
    expect(errors.length).toBeGreaterThan(0);
    for (const { advice } of errors) expect(advice).toContain('`run --pass-fd`');
  };

  it('is reported in one sentence, by the error and by doctor, when it passes no descriptor', async () => {
    const words = 'flag provided but not defined: -preserve-fds';
    const script = `#!/bin/sh\n[ "$1" = --version ] && echo "runsc version 1" && exit\necho "${words}" >&2\nexit 128\n`;
    await withStandIn(script, expectRefusal);
  });

  it('is reported the same way when it is the real runsc', async (context) => {
    if (findProgram('runsc') === null) return context.skip('needs gVisor (`apt-get install runsc`)');
    await expectRefusal('runsc');
  });

  it(
    'is reported when it is not installed',
    needs('a host on which gVisor is not installed', findProgram('runsc') === null),
    async () => {
      await expect(openOciEngines('runsc')).rejects.toMatchObject({
        code: 'unavailable',
        message: 'No OCI runtime is installed (runsc).',
      });
    },
  );
});
