/** A server killed while it takes a snapshot leaves either the intact sandbox or the complete snapshot. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createOciEngine } from '../../../../src/engines/oci/index.ts';
import { newCommandId } from '../../../../src/shared/ids.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { type Bundle, bundle } from '../../../support/bundle.ts';
import { warm } from '../../../support/host/warm-state.ts';
import { AGENT_PATH } from '../support/oci-engines.ts';

const TAKER = fileURLToPath(new URL('fixtures/taker.ts', import.meta.url));
const FREEZING = fileURLToPath(new URL('fixtures/freezing.ts', import.meta.url));
/**
 * From before the first step to after the last. An idle machine needs about 60 ms; on any machine, the last
 * moment is when the snapshot is complete.
 */
const MOMENTS_MS = [0, 3, 6, 10, 15, 20, 30, 45, 'taken'] as const;

let taker: Bundle;
let freezing: Bundle;
beforeAll(async () => {
  [taker, freezing] = await Promise.all([bundle(TAKER), bundle(FREEZING)]);
});
afterAll(() => Promise.all([taker.remove(), freezing.remove()]));

/**
 * Creates a sandbox in another process, and kills that process at a moment of a snapshot. Returns the
 * sandbox's id.
 */
async function killWhileTaking(stateDir: string, moment: (typeof MOMENTS_MS)[number]): Promise<string> {
  const child = spawn(process.execPath, [taker.path, stateDir, AGENT_PATH], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let sandboxId = '';
  for await (const line of createInterface(child.stdout)) {
    if (line === 'taken' || (line === 'taking' && moment !== 'taken')) break;
    if (line === 'taking') continue;
    sandboxId = line;
    child.stdin.write('go\n');
  }
  if (moment !== 'taken') await delay(moment);
  child.kill('SIGKILL');
  await exited;
  return sandboxId;
}

async function openEngine() {
  const stateDir = await mkdtemp(join(tmpdir(), 'crash-'));
  await chmod(stateDir, 0o711);
  await warm(stateDir);
  const log = createLogger('silent');
  return { engine: createOciEngine({ stateDir, ociRuntime: 'auto', agentPath: AGENT_PATH, log }), stateDir };
}

it('a snapshot killed at any moment leaves either the sandbox or the snapshot', async () => {
  const { engine, stateDir } = await openEngine();
  const outcomes = new Set<string>();
  try {
    for (const moment of MOMENTS_MS) {
      const sandboxId = await killWhileTaking(stateDir, moment);
      await engine.recover(timeoutSignal());
      const sandbox = await engine.get(sandboxId, timeoutSignal());
      const query = { limit: 10, since: null, until: null, cursor: null };
      const taken = (await engine.snapshots?.list(query, timeoutSignal()))?.items ?? [];
      outcomes.add(sandbox.status);
      let holder = sandboxId;
      if (sandbox.status === 'running') expect(taken).toEqual([]);
      else {
        expect(sandbox).toMatchObject({ status: 'stopped', stopCause: 'snapshot' });
        expect(taken.map(({ sourceSandboxId }) => sourceSandboxId)).toEqual([sandboxId]);
        const source = { type: 'snapshot' as const, snapshotId: taken[0]?.snapshotId ?? '' };
        holder = (await engine.create(createRequest({ source }), timeoutSignal())).sandboxId;
      }
      const range = { offset: 0, limit: 10 };
      const file = await engine.files.read(holder, 'kept', null, range, timeoutSignal());
      expect(file?.data.toString()).toBe('kept');
      for (const { snapshotId } of taken) await engine.snapshots?.delete(snapshotId, timeoutSignal());
      for (const id of new Set([holder, sandboxId])) await engine.forget(id, timeoutSignal());
      expect((await readdir(join(stateDir, 'snapshots'))).filter((name) => name !== 'lock')).toEqual([]);
    }
    expect([...outcomes]).toContain('stopped');
  } finally {
    await engine.close();
    await rm(stateDir, { recursive: true, force: true });
  }
});

it.for([false, true])(
  'a copy killed while the sandbox is frozen leaves it running',
  async (isGuardKilled, context) => {
    const { engine, stateDir } = await openEngine();
    try {
      const child = spawn(process.execPath, [freezing.path, stateDir, AGENT_PATH], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit');
      const [line] = await once(createInterface(child.stdout), 'line');
      const [sandboxId = '', state = '', guards = ''] = String(line).split(' ');
      if (state === '') {
        child.kill('SIGKILL');
        await exited;
        await engine.forget(sandboxId, timeoutSignal());
        return context.skip('needs cgroups');
      }
      const now = async () => (await readFile(state, 'utf8')).trim();
      const frozen = await now();
      // As with a service manager that kills all processes of a service.
      if (isGuardKilled) process.kill(-Number(guards), 'SIGKILL');
      child.kill('SIGKILL');
      await exited;
      if (isGuardKilled) {
        expect(await now()).toBe(frozen);
        await engine.recover(timeoutSignal());
      }
      const commandId = newCommandId(sandboxId);
      const start = {
        commandId,
        sandboxId,
        cmd: 'true',
        args: [],
        cwd: null,
        env: {},
        sudo: false,
        timeoutMs: null,
      };
      await engine.commands.start(start, timeoutSignal());
      expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({ exitCode: 0 });
      expect(await now()).not.toBe(frozen);
      const copied = await engine.snapshots?.copy?.(sandboxId, null, timeoutSignal());
      expect(copied).toMatchObject({ status: 'created' });
      await engine.forget(sandboxId, timeoutSignal());
    } finally {
      await engine.close();
      await rm(stateDir, { recursive: true, force: true });
    }
  },
);
