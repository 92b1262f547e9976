/**
 * What root gives a sandbox beyond what an ordinary user can: system directories of its own, renames of
 * directories.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../../../src/engines/engine.ts';
import { probeRuntimes } from '../../../../src/engines/oci/container/runtime-probe.ts';
import { prepareHost } from '../../../../src/engines/oci/host/host.ts';
import { probeMounts } from '../../../../src/engines/oci/host/probe/overlay-probe.ts';
import { createOciEngine } from '../../../../src/engines/oci/index.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { run } from '../../../conformance/support/run.ts';
import { needs } from '../../../support/needs.ts';
import { AGENT_PATH, openOciEngines } from '../support/oci-engines.ts';

type Opened = Awaited<ReturnType<typeof openOciEngines>>;

describe('a sandbox created by root', needs('root', process.getuid?.() === 0), () => {
  let opened: Opened | null = null;
  let shared: Sandbox | null = null;

  beforeAll(async () => {
    opened = await openOciEngines();
    shared = await opened.engine.create(createRequest(), timeoutSignal());
  });

  afterAll(async () => {
    if (shared !== null) await opened?.engine.forget(shared.sandboxId, timeoutSignal());
    await opened?.close();
  });

  async function shell(script: string, sudo: boolean) {
    if (opened === null || shared === null) throw new Error('there is no sandbox');
    const subject = { ...opened, shared, create: () => Promise.reject(new Error('not here')) };
    return run(subject, 'sh', ['-c', script], { sudo });
  }

  it('owns its system directories, writable only by its root', async () => {
    expect((await shell('stat -c %u:%g /usr /usr/bin /etc /etc/passwd', false)).stdout).toBe(
      '0:0\n0:0\n0:0\n0:0\n',
    );
    const written = await shell(
      'echo made > /usr/bin/made && rm -rf /usr/share/doc && ls /usr/bin/made',
      true,
    );
    expect(written).toMatchObject({ exitCode: 0, stdout: '/usr/bin/made\n' });
    expect((await shell('touch /usr/bin/other', false)).exitCode).not.toBe(0);
  });

  it('renames a system directory atomically', async () => {
    const renamed = await shell(
      'perl -e \'rename("/usr/share/perl5", "/usr/share/moved") or die "$!"\' && ls /usr/share/moved | wc -l',
      true,
    );
    expect(renamed.stderr).toBe('');
    expect(Number(renamed.stdout)).toBeGreaterThan(0);
  });

  it('leaves the host unchanged and without mounts', async () => {
    expect(await readdir('/usr/bin')).not.toContain('made');
    expect(await readdir('/usr/share')).toContain('perl5');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(opened?.stateDir ?? 'no state');
    expect((await opened?.engine.limits(timeoutSignal()))?.notEnforced.join(' ')).not.toMatch(/EXDEV|nobody/);
  });

  it('is still created, and reports what it lacks, when the kernel cannot mount for root', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'sandbox-mcp-mounts-'));
    try {
      await chmod(stateDir, 0o711);
      const host = await prepareHost(stateDir, AGENT_PATH);
      const { layout, agent, diskIds, system } = host;
      expect(host.mounts).toBe('by-root');
      expect(await probeMounts(layout, agent, diskIds, [...system.directories, 'no-such-directory'])).toEqual(
        { mounts: 'by-runtime', canSeparateIds: false },
      );
      expect(await readdir(layout.trash)).toEqual([]);
      const probed = await probeRuntimes({ ...host, mounts: 'by-runtime' }, 'auto', timeoutSignal());
      expect(probed.chosen).not.toBeNull();
    } finally {
      await rm(stateDir, { recursive: true, force: true });
    }
  });

  it('has the ids of its files where a part of the state directory cannot be mapped', async () => {
    const stateDir = await mkdtemp(join(tmpdir(), 'sandbox-mcp-mounts-'));
    const volumes = join(stateDir, 'volumes');
    await mkdir(volumes);
    try {
      await chmod(stateDir, 0o711);
      expect((await prepareHost(stateDir, AGENT_PATH)).canSeparateIds).toBe(true);
      execFileSync('mount', ['-t', 'ramfs', 'ramfs', volumes]);
      const host = await prepareHost(stateDir, AGENT_PATH);
      expect(host).toMatchObject({ mounts: 'by-root', canSeparateIds: false });
      const probed = await probeRuntimes(host, 'auto', timeoutSignal());
      expect(probed.chosen).not.toBeNull();
      const engine = createOciEngine({
        ...{ stateDir, ociRuntime: 'auto', agentPath: AGENT_PATH, log: createLogger('silent') },
      });
      expect((await engine.limits(timeoutSignal())).notEnforced.join(' ')).toContain('share their user ids');
      await engine.close();
    } finally {
      spawnSync('umount', [volumes]);
      await rm(stateDir, { recursive: true, force: true });
    }
  });
});
