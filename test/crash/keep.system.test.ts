/** Kept sandboxes of a killed server: the next server finds them and their commands. */
import { existsSync } from 'node:fs';
import { appendFile, cp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SERVER } from '../support/server.ts';
import { waitForNoLeftovers } from './support/leftovers.ts';
import { makePlace, type Place } from './support/place.ts';
import { clean, type ServerProcess, startServer } from './support/server-process.ts';

const created = z.object({ sandbox_id: z.string() });
const started = z.object({ command_id: z.string() });
const page = z.object({ content: z.string(), next_offset: z.number().nullable(), dropped_bytes: z.number() });

const LINES = 30_000;
const NUMBERS = Array.from({ length: LINES }, (_, index) => `${index + 1}\n`).join('');
const waitThenCount = (file: string, exit: number): string =>
  `echo first; until [ -e ${file} ]; do sleep 0.02; done; seq ${LINES}; echo last >&2; exit ${exit}`;

let place: Place;
const servers: ServerProcess[] = [];

beforeEach(async () => {
  place = await makePlace();
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.kill();
  await clean(place);
  await place.remove();
});

async function server(program?: string): Promise<ServerProcess> {
  const started = await startServer(place, program === undefined ? {} : { program });
  servers.push(started);
  return started;
}

/** A server of another version: with an agent of its own. Returns the path of its program. */
async function upgrade(): Promise<string> {
  const dist = join(place.home, 'dist');
  await cp(dirname(SERVER), dist, { recursive: true });
  await appendFile(join(dist, `agent-${process.arch}`), 'another version');
  return join(dist, 'main.js');
}

/** Everything that a command wrote to its standard output, page by page. */
async function wholeOutput(by: ServerProcess, command_id: string): Promise<string> {
  let all = '';
  for (let offset: number | null = 0; offset !== null; ) {
    const request = { command_id, stream: 'stdout', offset, limit: 65_536 };
    const { content, next_offset, dropped_bytes } = page.parse(await by.call('command_output', request));
    expect(dropped_bytes).toBe(0);
    all += content;
    offset = next_offset;
  }
  return all;
}

describe('a kept sandbox of a killed server', () => {
  it('is found, used and stopped by the next server, of another version', async () => {
    const first = await server();
    const { sandbox_id } = created.parse(await first.call('sandbox_create', { keep: true }));
    const lost = created.parse(await first.call('sandbox_create'));
    await first.call('sandbox_write_files', { sandbox_id, files: [{ path: 'note', content: 'still here' }] });
    await first.kill();

    const next = await server(await upgrade());
    const found = await next.call('sandbox_get', { sandbox_id });
    expect(found).toMatchObject({ sandbox_id, status: 'running', keep: true });
    expect(await next.call('sandbox_run_command', { cmd: 'cat', args: ['note'] })).toMatchObject({
      exit_code: 0,
      stdout: 'still here',
    });
    // A create waits until recovery is complete.
    await next.call('sandbox_create');
    expect(await next.call('sandbox_get', { sandbox_id: lost.sandbox_id })).toMatchObject({
      status: 'stopped',
    });
    expect(await next.call('sandbox_get', { sandbox_id })).toMatchObject({ status: 'running' });
    await next.call('sandbox_stop', { sandbox_id });
    await next.close();
    // Whatever a busy machine did not remove in time when the session ended.
    await clean(place);
    await waitForNoLeftovers(place);
  });

  it('continues its commands, whose state, log and exit code another process can read', async () => {
    const first = await server();
    const { sandbox_id } = created.parse(await first.call('sandbox_create', { keep: true }));
    const start = async (script: string): Promise<string> =>
      started.parse(
        await first.call('sandbox_run_command_detached', { sandbox_id, cmd: 'sh', args: ['-c', script] }),
      ).command_id;
    const waiting = await start(waitThenCount('go', 7));
    const meanwhile = await start(`sleep 0.3; seq ${LINES}; exit 3`);
    await first.kill();
    // It ends while no server is running.
    const exit = join(place.stateDir, 'sandboxes', sandbox_id, 'agent/c', meanwhile, 'exit');
    while (!existsSync(exit)) await delay(10);

    const next = await server();
    const ended = { status: 'finished', exit_code: 3, ended_by: 'exit', stdout_bytes: NUMBERS.length };
    expect(await next.call('sandbox_get_command', { command_id: meanwhile })).toMatchObject(ended);
    expect(await wholeOutput(next, meanwhile)).toBe(NUMBERS);

    expect(await next.call('sandbox_get_command', { command_id: waiting })).toMatchObject({
      status: 'running',
      exit_code: null,
      stdout: 'first\n',
    });
    await next.call('sandbox_write_files', { sandbox_id, files: [{ path: 'go', content: '' }] });
    expect(await next.call('command_wait', { command_id: waiting })).toMatchObject({
      status: 'finished',
      exit_code: 7,
      ended_by: 'exit',
      stderr: 'last\n',
    });
    expect(await wholeOutput(next, waiting)).toBe(`first\n${NUMBERS}`);
    await next.call('sandbox_stop', { sandbox_id });
    await next.close();
    // Whatever a busy machine did not remove in time when the session ended.
    await clean(place);
    await waitForNoLeftovers(place);
  });
});
