/** Connections to an agent whose queue is full. */
import { spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { AgentConnection, isListening } from '../../../../src/engines/oci/protocol/agent-connection.ts';
import { connectInTurn } from '../../../../src/engines/oci/protocol/connect-in-turn.ts';
import { neverAborted, rejection } from '../../../registry/support/registry.ts';

/** Accepts nobody while it is stopped; its queue holds two connections. */
const SHORT_QUEUE = `require('node:net').createServer((socket) => socket.on('error', () => {}).resume())
  .listen({ path: process.argv[1], backlog: 1 }, () => console.log('listening'))`;

/** The path of an agent that accepts nobody until `accept`. */
async function stoppedAgent(): Promise<{ path: string; accept(): void }> {
  const home = await mkdtemp(join(tmpdir(), 'queue-'));
  const path = join(home, 'agent');
  const agent = spawn(process.execPath, ['-e', SHORT_QUEUE, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(agent, 'exit');
  onTestFinished(async () => {
    agent.kill('SIGKILL');
    await ended;
    await rm(home, { recursive: true });
  });
  await once(agent.stdout, 'data');
  agent.kill('SIGSTOP');
  return { path, accept: () => agent.kill('SIGCONT') };
}

it('an agent whose queue is full gets the connections once it accepts, and counts as alive', async () => {
  const { path, accept } = await stoppedAgent();
  const calls = Array.from({ length: 5 }, () => AgentConnection.open(path, neverAborted));
  const waiting = AgentConnection.open(path, null, { firstFrameMs: 0 });
  expect(await rejection(waiting)).toMatchObject({ code: 'unavailable' });
  expect(await isListening(path)).toBe(true);
  accept();
  for (const connection of await Promise.all(calls)) connection.close();
});

it('a queue that stays full is tried ever more rarely', async () => {
  const { path } = await stoppedAgent();
  const queued = await Promise.all([1, 2].map(() => connectInTurn(path, neverAborted, 1e9)));
  let attempts = 0;
  const count = (): void => {
    attempts += 1;
  };
  subscribe('net.client.socket', count);
  try {
    expect(await rejection(connectInTurn(path, neverAborted, 1_000))).toMatchObject({ code: 'unavailable' });
  } finally {
    unsubscribe('net.client.socket', count);
    for (const socket of queued) socket.destroy();
  }
  // After 10, 20, 40, 80, 160, 320, 320 and 320 ms, or later; every 10 ms would be a hundred.
  expect(attempts).toBeGreaterThan(1);
  expect(attempts).toBeLessThanOrEqual(9);
});
