/** Three replicas behind a load balancer without affinity, on one store in Redis: killing one loses nothing. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createLogger } from '../../../../src/shared/log.ts';
import { RedisStore } from '../../../../src/shared/store/redis-store.ts';
import { startVercelApi, type VercelApi } from '../../../fakes/vercel/index.ts';
import { describeStore } from '../../../shared/store/store-contract.ts';
import { needs } from '../../../support/needs.ts';
import { CALL_TIMEOUT_MS, TIMEOUT_FACTOR } from '../../../support/timeout-factor.ts';
import { connectNewest } from '../support/newest-client.ts';
import { type RedisServer, type ReplicaProcess, startRedis, startReplica } from './replica-process.ts';
import { type RoundRobinProxy, startRoundRobinProxy } from './round-robin-proxy.ts';

const TOKENS = { ann: 'token-of-ann-0123456789', bob: 'token-of-bob-0123456789' };
/** From the death of a replica to the takeover of what it had. */
const TAKE_OVER_MS = 15_000;

const Result = z.looseObject({
  content: z.array(z.looseObject({ text: z.string() })),
  structuredContent: z.record(z.string(), z.unknown()).default({}),
});

const searched = process.env['PATH']?.split(delimiter) ?? [];
const hasRedis = searched.some((folder) => existsSync(join(folder, 'redis-server')));

describe('replicas', needs('redis-server', hasRedis), () => {
  let redis: RedisServer;
  let api: VercelApi;
  let proxy: RoundRobinProxy;
  let folder = '';
  const replicas: ReplicaProcess[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'replicas-'));
    [redis, api] = await Promise.all([startRedis(folder), startVercelApi()]);
    const start = (name: string) =>
      startReplica({ api, store: redis.url, stateDir: join(folder, name), tokens: TOKENS });
    replicas.push(...(await Promise.all([start('a'), start('b'), start('c')])));
    proxy = await startRoundRobinProxy(replicas.map(({ url }) => url));
  });

  afterAll(async () => {
    proxy?.close();
    for (const replica of replicas) replica.kill('SIGKILL');
    await Promise.all(replicas.map(({ exited }) => exited));
    await api?.close();
    await redis?.close();
    await rm(folder, { recursive: true, force: true });
  });

  describeStore('redis', () => RedisStore.open(redis.url, createLogger('silent')));

  it('serve every session at any replica, and take over what a killed one served', async () => {
    const ann = await connectAnn(proxy.url);
    const bob = await connectNewest(proxy, { mode: 'pin', token: TOKENS.bob });
    const [annSandbox, bobSandbox] = await Promise.all([
      ann.call('sandbox_create'),
      bob.call('sandbox_create'),
    ]);
    const [annId, bobId] = [annSandbox['sandbox_id'], bobSandbox['sandbox_id']];
    expect([annSandbox['status'], bobSandbox['status']]).toEqual(['running', 'running']);
    const finished = await ann.call('sandbox_run_command', { cmd: 'echo', args: ['kept'] });
    expect(finished['stdout']).toBe('kept\n');
    const loop = 'n=0; while :; do n=$((n+1)); echo line $n; sleep 0.2; done';
    const background = await ann.call('sandbox_run_command_detached', { cmd: 'sh', args: ['-c', loop] });
    await bob.call('sandbox_write_files', { files: [{ path: 'note', content: 'of bob' }] });
    const info = await ann.call('session_info');

    const victim = await serverOf(String(info['session_id']));
    const survivors = replicas.filter((replica) => replica !== victim);
    const waiting = ann.call('sandbox_run_command', { cmd: 'sleep', args: ['600'], wait_ms: 50_000 });
    await ann.untilRunning(2);
    // The platform creates it, but this replica will not get the answer.
    api.faults.add({ kind: 'hang-after', operation: 'sandbox.create', times: 1 });
    const creating = ann.call('sandbox_create');
    await expect.poll(async () => (await api.alive()).length, { timeout: CALL_TIMEOUT_MS }).toBe(3);
    const killed = performance.now();
    victim.kill('SIGKILL');

    // The calls in progress are answered: the client resumes their streams, at whichever replica.
    expect((await waiting).text).toMatch(/Error \(unavailable\): The replica that ran sandbox_run_command/);
    expect((await creating).text).toMatch(/Error \(unavailable\): The replica that ran sandbox_create/);
    expect(performance.now() - killed).toBeLessThan(TAKE_OVER_MS * TIMEOUT_FACTOR);
    await Promise.race(survivors.map((replica) => replica.logs('Took over a session')));

    // The same session, with everything that it had.
    expect(await ann.call('session_info')).toMatchObject({
      session_id: info['session_id'],
      current_sandbox_id: annId,
      sandboxes: expect.arrayContaining([expect.objectContaining({ sandbox_id: annId, status: 'running' })]),
    });
    const kept = await ann.call('command_logs', { command_id: finished['command_id'] });
    expect(kept.text).toContain('kept');
    const tracked = await ann.call('command_logs', { command_id: background['command_id'] });
    expect(tracked.text).toMatch(/line \d+/);
    expect(await ann.call('sandbox_run_command', { cmd: 'echo', args: ['on'] })).toMatchObject({
      stdout: 'on\n',
    });
    expect(await bob.call('sandbox_read_file', { path: 'note' })).toMatchObject({ content: 'of bob' });
    const alive = (await api.alive()).sort();
    expect(alive).toEqual(expect.arrayContaining([annId, bobId]));
    // The third one, whose create was completed.
    const [late] = alive.filter((id) => id !== annId && id !== bobId);
    const status = async () => (await ann.call('sandbox_get', { sandbox_id: late }))['status'];
    await expect.poll(status, { timeout: CALL_TIMEOUT_MS }).toBe('running');
    await ann.call('sandbox_get', { sandbox_id: annId });

    // The one that serves her leaves in order, and does not wait for calls after a second signal. Only one is left,
    // which serves both, and continues what the other has begun.
    const leaving = await serverOf(String(info['session_id']));
    const [last] = survivors.filter((replica) => replica !== leaving);
    const awaited = ann.call('sandbox_run_command', { cmd: 'sleep', args: ['601'], wait_ms: 50_000 });
    await ann.untilRunning(3);
    api.faults.add({ kind: 'hang-after', operation: 'sandbox.create', times: 1 });
    const created = ann.call('sandbox_create');
    await expect.poll(async () => (await api.alive()).length, { timeout: CALL_TIMEOUT_MS }).toBe(4);
    leaving.kill('SIGTERM');
    leaving.kill('SIGINT');
    expect((await awaited).text).toMatch(/Error \(unavailable\): The replica that ran sandbox_run_command/);
    expect((await created).text).toMatch(/Error \(unavailable\): The replica that ran sandbox_create/);
    expect(await leaving.exited).toBe(0);
    await ann.untilRunning(3);
    expect(await ann.call('sandbox_run_command', { cmd: 'echo', args: ['still'] })).toMatchObject({
      stdout: 'still\n',
      sandbox_id: annId,
    });
    expect(await bob.call('sandbox_read_file', { path: 'note' })).toMatchObject({ content: 'of bob' });
    const aliveThen = (await api.alive()).sort();
    expect(aliveThen).toEqual(expect.arrayContaining(alive));
    const [lastCreated] = aliveThen.filter((id) => !alive.includes(id));
    const lastStatus = async () => (await ann.call('sandbox_get', { sandbox_id: lastCreated }))['status'];
    await expect.poll(lastStatus, { timeout: CALL_TIMEOUT_MS }).toBe('running');
    await ann.end();
    await expect.poll(() => api.alive()).toEqual([bobId]);
    expect(last?.logged()).not.toMatch(/"level":(50|60)/);
    expect(api.violations).toEqual([]);
  });

  /** The replica that serves a session, by what the store says. */
  async function serverOf(sessionId: string): Promise<ReplicaProcess> {
    const store = await RedisStore.open(redis.url, createLogger('silent'));
    const { replica } = z
      .looseObject({ replica: z.string() })
      .parse(JSON.parse((await store.read('sessions', sessionId)) ?? '{}'));
    await store.close();
    const found = replicas.find((one) => one.logged().includes(replica));
    if (found === undefined) throw new Error(`no replica is ${replica}`);
    return found;
  }
});

async function connectAnn(url: string) {
  const client = new Client({ name: 'test', version: '1' });
  const requestInit = { headers: { authorization: `Bearer ${TOKENS.ann}` } };
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit,
    reconnectionOptions: {
      initialReconnectionDelay: 100,
      maxReconnectionDelay: 1_000,
      reconnectionDelayGrowFactor: 1.5,
      maxRetries: 60,
    },
  });
  await client.connect(transport);
  const call = async (
    name: string,
    args: Record<string, unknown> = {},
  ): Promise<Record<string, unknown> & { text: string }> => {
    const params = { name, arguments: args };
    const result = Result.parse(await client.callTool(params, undefined, { timeout: CALL_TIMEOUT_MS }));
    return { ...result.structuredContent, text: result.content.map(({ text }) => text).join('\n') };
  };
  return {
    call,
    /** Resolves once this many commands run. */
    async untilRunning(count: number): Promise<void> {
      const running = async () => z.array(z.unknown()).parse((await call('session_info'))['commands']).length;
      await expect.poll(running, { timeout: CALL_TIMEOUT_MS }).toBe(count);
    },
    /** Ends the session. */
    async end(): Promise<void> {
      await transport.terminateSession();
      await client.close();
    },
  };
}
