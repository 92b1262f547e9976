/** A sandbox ends with its last owner, however that dies, without starting anything. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { withFileLock } from '../../src/shared/fs/file-lock.ts';
import { isProcessAlive, type ProcessIdentity } from '../../src/shared/process-identity.ts';
import { needs } from '../support/needs.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';
import { measureTimerLag } from '../support/timer-lag.ts';
import { stockIn, untilStocked } from './support/busy-session.ts';
import { leftoversOf, waitForNoLeftovers } from './support/leftovers.ts';
import { limitMemory } from './support/memory-limit.ts';
import { makePlace, type Place } from './support/place.ts';
import { clean, type ServerProcess, startServer } from './support/server-process.ts';

const isRoot = process.getuid?.() === 0;
/** The documented limit, for an idle machine. */
const ENDS_WITHIN_MS = 1_000;
/**
 * PID 1, the programs that it ends and this process share the CPUs: each step may be as late as this process's
 * timers.
 */
const STEPS = 10;
/** Of sandboxes that do not end at all. */
const GIVES_UP_AFTER_MS = 60_000 * TIMEOUT_FACTOR;
/** `SANDBOXES_AT_ONCE=100` tries more of them. */
const AT_ONCE = Number(process.env['SANDBOXES_AT_ONCE'] ?? 8);
const MANY = ['--max-sandboxes', `${AT_ONCE}`, '--max-vcpus', `${AT_ONCE}`];

const created = z.object({ sandbox_id: z.string() });
const recorded = z.object({
  init: z.object({ pid: z.number(), startTime: z.string(), bootId: z.string() }),
});

/** A sandbox, identified by its first process: all others end with it. */
interface Running {
  sandboxId: string;
  init: ProcessIdentity;
}

let place: Place;
const servers: ServerProcess[] = [];

beforeEach(async () => {
  place = await makePlace();
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill();
  // Tests that wait until nothing is left need no program for it.
  if (leftoversOf(place).length > 0) await clean(place);
  await place.remove();
});

async function server(flags: string[] = []): Promise<ServerProcess> {
  const started = await startServer(place, { flags });
  servers.push(started);
  return started;
}

/** A sandbox with a program that only SIGKILL ends. */
async function busySandbox(by: ServerProcess, request: Record<string, unknown> = {}): Promise<Running> {
  const sandboxId = created.parse(await by.call('sandbox_create', request)).sandbox_id;
  const args = ['-c', 'trap "" TERM HUP INT; setsid sleep 1000 & sleep 1000'];
  await by.call('sandbox_run_command_detached', { sandbox_id: sandboxId, cmd: 'sh', args });
  const record = await readFile(join(place.stateDir, 'sandboxes', sandboxId, 'record.json'), 'utf8');
  return { sandboxId, init: recorded.parse(JSON.parse(record)).init };
}

/** Waits until all of them have ended, which must take no longer than documented. Returns how long it took, in ms. */
async function untilEnded(sandboxes: readonly Running[]): Promise<number> {
  const lag = measureTimerLag();
  const began = performance.now();
  for (;;) {
    const alive = sandboxes.filter(({ init }) => isProcessAlive(init));
    const took = performance.now() - began;
    if (alive.length === 0) {
      expect(took).toBeLessThan(ENDS_WITHIN_MS + STEPS * lag());
      return took;
    }
    if (took > GIVES_UP_AFTER_MS)
      throw new Error(`${alive.length} of ${sandboxes.length} sandboxes are still running`);
    await delay(10);
  }
}

/** SIGTERM, and SIGKILL this much later, as some clients do. */
const termThenKill = (afterMs: number) => async (ended: ServerProcess) => {
  ended.child.kill('SIGTERM');
  await delay(afterMs);
  ended.child.kill('SIGKILL');
};

const DEATHS: readonly [name: string, end: (server: ServerProcess) => unknown][] = [
  ['SIGKILL', ({ child }) => child.kill('SIGKILL')],
  ['SIGTERM, SIGKILL after 3 ms', termThenKill(3)],
  ['SIGTERM, SIGKILL after 100 ms', termThenKill(100)],
  ['SIGABRT, as in a crash', ({ child }) => child.kill('SIGABRT')],
  ['SIGSTOP, then SIGKILL', ({ child }) => child.kill('SIGSTOP') && child.kill('SIGKILL')],
];

describe('the death of a server', () => {
  it.each(DEATHS)('ends its sandboxes without help from a new server: %s', async (_, end) => {
    const first = await server();
    const sandboxes = [await busySandbox(first), await busySandbox(first)];
    await end(first);
    await untilEnded(sandboxes);
    // Only files are left: the next start removes them and reports how the sandboxes ended. A create waits
    // for that.
    const next = await server();
    await next.call('sandbox_create');
    for (const { sandboxId } of sandboxes) {
      const found = await next.call('sandbox_get', { sandbox_id: sandboxId });
      expect(found).toMatchObject({ status: 'stopped' });
    }
    await next.close();
    await waitForNoLeftovers(place);
  });

  it('ends what it booted ahead, and the next start removes it', async () => {
    const first = await server(['--warm', '1']);
    await first.call('sandbox_create');
    await untilStocked(first, place);
    const stocked = stockIn(place.stateDir).map((record) => ({
      sandboxId: '',
      init: recorded.parse(JSON.parse(record)).init,
    }));
    expect(stocked).toHaveLength(1);
    first.child.kill('SIGKILL');
    await untilEnded(stocked);
    const next = await server();
    await next.call('sandbox_create');
    expect(stockIn(place.stateDir)).toEqual([]);
    await next.close();
    await waitForNoLeftovers(place);
  });

  it(
    'ends its sandboxes when the kernel kills it for lack of memory',
    needs('root and a memory cgroup', isRoot),
    async (context) => {
      const first = await server();
      const sandboxes = [await busySandbox(first), await busySandbox(first)];
      const limit = limitMemory(first.pid);
      if (limit === null) return context.skip('needs a memory cgroup');
      const content = 'x'.repeat(30_000_000);
      // The client does not notice the death: its calls reject when it is closed.
      const large = expect(
        first.call('sandbox_write_files', { files: [{ path: 'large', content }] }),
      ).rejects.toThrow();
      await first.exited;
      await Promise.all([first.kill(), large]);
      limit.remove();
      expect(first.child.signalCode).toBe('SIGKILL');
      await untilEnded(sandboxes);
    },
  );

  it(`ends ${AT_ONCE} sandboxes at once`, async () => {
    const first = await server(MANY);
    const sandboxes: Running[] = [];
    while (sandboxes.length < AT_ONCE) {
      sandboxes.push(await busySandbox(first, { resources: { vcpus: 1 } }));
    }
    first.child.kill('SIGKILL');
    const tookMs = Math.round(await untilEnded(sandboxes));
    process.stderr.write(`${AT_ONCE} sandboxes ended ${tookMs} ms after their server\n`);
  });

  it('leaves a kept sandbox running until its deadline', async () => {
    const first = await server();
    const kept = await busySandbox(first, { keep: true });
    const other = await busySandbox(first);
    await first.kill();
    await untilEnded([other]);
    const next = await server();
    expect(await next.call('sandbox_get', { sandbox_id: kept.sandboxId })).toMatchObject({
      status: 'running',
    });
    await next.call('sandbox_stop', { sandbox_id: kept.sandboxId });
  });

  it('leaves a sandbox to a server that attached it, until that one dies too', async () => {
    const first = await server();
    const taken = await busySandbox(first);
    const other = await busySandbox(first);
    const second = await server();
    await second.call('sandbox_get', { sandbox_id: taken.sandboxId });
    await first.kill();
    await untilEnded([other]);
    // A create waits for the recovery of a third server, which must not end it either.
    const third = await server();
    await third.call('sandbox_create');
    expect(await second.call('sandbox_run_command', { cmd: 'true' })).toMatchObject({ exit_code: 0 });
    await second.kill();
    await untilEnded([taken]);
  });

  it('ends a sandbox in which another server only runs commands', async () => {
    const first = await server();
    const sandbox = await busySandbox(first);
    const second = await server();
    const request = { sandbox_id: sandbox.sandboxId, cmd: 'sleep', args: ['1000'], wait_ms: 0 };
    await second.call('sandbox_run_command', request);
    await first.kill();
    await untilEnded([sandbox]);
  });
});

describe('a server that survives', () => {
  it('keeps its sandboxes across SIGSTOP and SIGCONT', async () => {
    const first = await server();
    const sandbox = await busySandbox(first);
    const second = await server();
    first.child.kill('SIGSTOP');
    const request = { sandbox_id: sandbox.sandboxId, cmd: 'sleep', args: ['2'] };
    expect(await second.call('sandbox_run_command', request)).toMatchObject({ exit_code: 0 });
    first.child.kill('SIGCONT');
    expect(await first.call('sandbox_run_command', { cmd: 'true' })).toMatchObject({ exit_code: 0 });
  });

  it(`ends ${AT_ONCE} sandboxes with its session, without a new server`, async () => {
    const first = await server(MANY);
    const sandboxes: Running[] = [];
    while (sandboxes.length < AT_ONCE) {
      sandboxes.push(await busySandbox(first, { resources: { vcpus: 1 } }));
    }
    const began = performance.now();
    await first.close();
    const exitMs = Math.round(performance.now() - began);
    const tookMs = exitMs + Math.round(await untilEnded(sandboxes));
    await waitForNoLeftovers(place);
    const cleanMs = Math.round(performance.now() - began);
    process.stderr.write(
      `${AT_ONCE} sandboxes with their session: exit after ${exitMs} ms, ended after ${tookMs}, nothing left after ${cleanMs}\n`,
    );
  });

  it('leaves what its session cannot finish to a clean-up that outlives it', async () => {
    const first = await server();
    const sandbox = await busySandbox(first);
    const lock = join(place.stateDir, 'sandboxes', sandbox.sandboxId, 'lock');
    // As another process that changes the sandbox would, past the two seconds that an end may take.
    await withFileLock(lock, async () => {
      await first.close();
      await untilEnded([sandbox]);
    });
    expect(first.stderr()).toContain('leaving them to recovery');
    // Nobody starts anything here.
    await waitForNoLeftovers(place);
  });
});
