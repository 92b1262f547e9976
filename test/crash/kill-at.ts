/** One round of the crash test: a busy session, its server killed at a moment, and what is there afterwards. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { z } from 'zod';
import type { OrdinaryUser } from '../support/ordinary-user.ts';
import { SERVER } from '../support/server.ts';
import { startBusySession } from './busy-session.ts';
import { type Moment, stopWhen } from './moments.ts';
import { makePlace, type Place } from './place.ts';
import { remains, untilNothingRemains } from './remains.ts';
import { startServer } from './server-process.ts';

const listed = z.object({ sandboxes: z.array(z.object({ status: z.string() })) });

/** @throws what is left, where something is */
export async function killAt(
  moment: Moment,
  way: 'next start' | 'clean',
  user: OrdinaryUser | null = null,
): Promise<void> {
  const place = await makePlace(user);
  try {
    const port = await killBusyServer(moment, place);
    // Else the round would prove nothing.
    expect(remains(place)).not.toEqual([]);
    if (way === 'clean') await clean(place);
    else await startAnew(place);
    if (port !== null)
      await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toThrow('ECONNREFUSED');
  } finally {
    await place.remove();
  }
}

/** Answers the port that led into a sandbox, if it came to that. */
async function killBusyServer(moment: Moment, place: Place): Promise<number | null> {
  const server = await startServer(place);
  const session = startBusySession(server, place);
  try {
    await session.reached(moment.step);
    const { when } = moment;
    if (typeof when === 'number') await delay(when);
    else if (!stopWhen(server.pid, () => when(place.stateDir))) throw new Error('the moment did not come');
    return session.port;
  } finally {
    await server.kill();
    await session.release();
  }
}

async function startAnew(place: Place): Promise<void> {
  const server = await startServer(place);
  try {
    await untilNothingRemains(place, [server.pid]);
    const { sandboxes } = listed.parse(await server.call('sandbox_list'));
    for (const { status } of sandboxes) expect(['stopped', 'aborted', 'failed']).toContain(status);
    // What is new works beside what was left.
    await server.call('sandbox_create');
    await server.call('sandbox_run_command', { cmd: 'true' });
  } finally {
    await server.close();
  }
  await untilNothingRemains(place);
}

async function clean(place: Place): Promise<void> {
  const verb = ['--state-dir', place.stateDir, 'clean'];
  const argv = place.wrap?.(['node', 'dist/main.js', ...verb]) ?? [process.execPath, SERVER, ...verb];
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] },
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^(stopped|forgotten|Nothing to clean)/);
  await untilNothingRemains(place);
}
