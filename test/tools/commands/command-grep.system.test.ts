import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../support/server.ts';

/** The slowest pattern allowed: it takes hundreds of steps at every position of a line. */
const SLOW = '[a-z]{0,140}[YZ]';
const PIECES = 40;

let server: RunningServer;
beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

it('a search built to run forever blocks no other call, and ends page by page', async () => {
  const script = `head -c ${PIECES * 16_384} /dev/zero | tr '\\0' a; echo; echo needZle`;
  const run = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
  const command_id = run.structured['command_id'];
  let overtaken = 0;
  let cursor: Record<string, unknown> = {};
  const found: unknown[] = [];
  for (let done: unknown = false; done !== true; ) {
    const search = server.call('command_logs', { command_id, grep: SLOW, ...cursor });
    const other = server.call('sandbox_get_command', { command_id });
    if ((await Promise.race([search.then(() => 'search'), other.then(() => 'other')])) === 'other')
      overtaken++;
    await other;
    const { structured } = await search;
    if (Array.isArray(structured['lines'])) found.push(...structured['lines']);
    cursor = { cursor: structured['next_cursor'] };
    done = structured['done'];
    if (done === true) expect(structured['next']).toBeNull();
    else expect(structured['next']).toContain('not searched yet');
  }
  // A search that blocked the server would always be answered before a call that came after it.
  expect(overtaken).toBeGreaterThan(0);
  expect(found).toEqual([{ stream: 'stdout', data: 'needZle' }]);
});
