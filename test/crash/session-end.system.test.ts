/** However a conversation ends, the server is gone within two seconds and has taken everything along. */
import { describe, expect, it } from 'vitest';
import { startBusySession } from './support/busy-session.ts';
import { untilNothingRemains } from './support/leftovers.ts';
import { makePlace } from './support/place.ts';
import { clean, type ServerProcess, startServer } from './support/server-process.ts';

/** The product's promise, and so the one limit here that a machine without time to spare can break: it is tried again. */
const WITHIN_MS = 2_000;

const ENDS: readonly [name: string, end: (server: ServerProcess) => void, between?: boolean][] = [
  ['its input ends', ({ child }) => child.stdin.end()],
  ['SIGTERM', ({ child }) => child.kill('SIGTERM')],
  ['SIGINT', ({ child }) => child.kill('SIGINT')],
  ['SIGHUP', ({ child }) => child.kill('SIGHUP')],
  ['its parent is killed, which leaves the streams open', ({ child }) => child.kill('SIGKILL'), true],
];

describe('a busy session', () => {
  it.each(ENDS)('ends within 2 s and leaves nothing: %s', async (_, end, between) => {
    const place = await makePlace();
    try {
      const server = await startServer(place, { between: between === true });
      const session = startBusySession(server, place);
      try {
        await session.reached('stopping');
        const before = performance.now();
        end(server);
        await server.gone;
        expect(performance.now() - before).toBeLessThan(WITHIN_MS);
        await untilNothingRemains(place);
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
