/** However a session ends, the server exits within two seconds and leaves nothing behind. */
import { describe, expect, it } from 'vitest';
import { measureTimerLag } from '../support/timer-lag.ts';
import { startBusySession } from './support/busy-session.ts';
import { waitForNoLeftovers, waitForNoProcesses } from './support/leftovers.ts';
import { makePlace } from './support/place.ts';
import { clean, type ServerProcess, startServer } from './support/server-process.ts';

/** The documented limit, for an idle machine. */
const WITHIN_MS = 2_000;
/**
 * The server, its sandboxes and this process share the CPUs: each step may be as late as this process's
 * timers.
 */
const STEPS_AT_THE_END = 5;
const NOTICEABLE_MS = 100;
/** A session that takes longer may have given up removing files. */
const FILES_WITHIN_MS = 1_300;

const ENDS: readonly [name: string, end: (server: ServerProcess) => void, between?: boolean][] = [
  ['its input ends', ({ child }) => child.stdin.end()],
  ['SIGTERM', ({ child }) => child.kill('SIGTERM')],
  ['SIGINT', ({ child }) => child.kill('SIGINT')],
  ['SIGHUP', ({ child }) => child.kill('SIGHUP')],
  ['its parent is killed, which leaves the streams open', ({ child }) => child.kill('SIGKILL'), true],
];

describe('a busy session', () => {
  it.each(ENDS)('ends within 2 s and leaves nothing behind: %s', async (_, end, between) => {
    const place = await makePlace();
    try {
      const server = await startServer(place, { between: between === true, flags: ['--warm', '1'] });
      const session = startBusySession(server, place);
      try {
        await session.reached('stopping');
        const lag = measureTimerLag();
        const before = performance.now();
        end(server);
        await server.exited;
        const took = performance.now() - before;
        const late = lag();
        expect(took).toBeLessThan(WITHIN_MS + STEPS_AT_THE_END * late);
        await waitForNoProcesses(place);
        // Files that a busy machine has not removed by then are left to recovery.
        if (took > FILES_WITHIN_MS || late > NOTICEABLE_MS) await clean(place);
        await waitForNoLeftovers(place);
      } finally {
        await server.kill();
        await session.release();
      }
    } finally {
      await clean(place);
      await place.remove();
    }
  });
});
