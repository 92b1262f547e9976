/** The tasks extension of the revision 2026-07-28: long calls that continue after their answer. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Snapshot } from '../../../src/engines/engine.ts';
import { Tasks } from '../../../src/server/tasks.ts';
import { MemorySnapshots } from '../../fakes/memory-snapshots.ts';
import { openWorld } from '../../registry/support/registry.ts';
import { type HttpServer, post, startHttp } from '../http/support/http-server.ts';
import { REVISION } from '../http/support/newest-client.ts';
import { deferred } from '../support/connected-server.ts';

const EXTENSION = 'io.modelcontextprotocol/tasks';
const KNOWN = { extensions: { [EXTENSION]: {} } };

const Reply = z.object({
  result: z.record(z.string(), z.unknown()).default({}),
  error: z.object({ code: z.number(), message: z.string(), data: z.unknown().optional() }).optional(),
});

/** Sends requests of a client that declares these capabilities. */
function clientOf(server: HttpServer, capabilities: object = KNOWN, token?: string) {
  const send = async (method: string, params: Record<string, unknown>) => {
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': REVISION,
      'io.modelcontextprotocol/clientCapabilities': capabilities,
    };
    const message = { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } };
    const headers = {
      'mcp-protocol-version': REVISION,
      'mcp-method': method,
      'mcp-name': String(params['name'] ?? params['taskId']),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    return Reply.parse(await (await post(server, message, headers)).json());
  };
  const call = async (name: string, args: object = {}) =>
    (await send('tools/call', { name, arguments: args })).result;
  const get = async (taskId: unknown) => (await send('tasks/get', { taskId })).result;
  return { send, call, get };
}

describe('a command that outlasts its wait', () => {
  const RUN = { cmd: 'sleep', args: ['60'], wait_ms: 0 };

  it('is a task with the id of the command, which ends with the command’s result', async () => {
    const server = await startHttp();
    const { call, get } = clientOf(server);
    await call('sandbox_create');
    const task = await call('sandbox_run_command', RUN);
    expect(task).toMatchObject({
      resultType: 'task',
      status: 'working',
      taskId: expect.stringMatching(/^cmd_/),
    });
    const { taskId } = task;
    expect(await get(taskId)).toMatchObject({ resultType: 'complete', taskId, status: 'working' });
    const waited = await call('command_wait', { command_id: taskId, wait_ms: 0 });
    expect(waited).toMatchObject({ structuredContent: { status: 'running' } });
    server.world.engine.commands.finish(String(taskId), 3);
    await expect.poll(() => get(taskId)).toMatchObject({ status: 'completed' });
    const { result } = await get(taskId);
    expect(result).toMatchObject({ structuredContent: { command_id: taskId, exit_code: 3 } });
  });

  it('is killed when its task is cancelled', async () => {
    const { call, get, send } = clientOf(await startHttp());
    await call('sandbox_create');
    const { taskId } = await call('sandbox_run_command', RUN);
    expect((await send('tasks/cancel', { taskId })).result).toMatchObject({ resultType: 'complete' });
    await expect.poll(() => get(taskId)).toMatchObject({ status: 'cancelled' });
    const { structuredContent } = await call('sandbox_get_command', { command_id: taskId });
    expect(structuredContent).toMatchObject({ status: 'finished', ended_by: 'cancelled' });
  });

  it('is a task also where another connection has started it, or its conversation has ended', async () => {
    const server = await startHttp();
    const { call, get, send } = clientOf(server);
    await call('sandbox_create');
    const start = async () => {
      const { structuredContent } = await call('sandbox_run_command_detached', { cmd: 'sleep' });
      return z.looseObject({ command_id: z.string() }).parse(structuredContent).command_id;
    };
    const finished = await start();
    expect(await get(finished)).toMatchObject({ taskId: finished, status: 'working' });
    server.world.engine.commands.finish(finished, 3);
    expect(await get(finished)).toMatchObject({
      status: 'completed',
      result: { structuredContent: { command_id: finished, exit_code: 3 } },
    });
    const cancelled = await start();
    await send('tasks/cancel', { taskId: cancelled });
    expect(await get(cancelled)).toMatchObject({ status: 'cancelled' });
    for (const taskId of ['cmd_222222222222_22222222', 'task_1', '../x'])
      expect((await send('tasks/get', { taskId })).error).toMatchObject({ code: -32602 });
  });

  it.each([{ 'read-only': 'true' }, { toolsets: 'files' }])(
    'is no task of a server that starts none: %o',
    async (flags) => {
      const server = await startHttp();
      const owner = clientOf(server);
      await owner.call('sandbox_create');
      const { taskId } = await owner.call('sandbox_run_command', RUN);
      const { send } = clientOf(await startHttp({ world: server.world, flags }));
      for (const method of ['tasks/get', 'tasks/cancel'])
        expect((await send(method, { taskId })).error).toMatchObject({ code: -32602 });
      expect(await owner.get(taskId)).toMatchObject({ status: 'working' });
    },
  );

  it('is handed off as before to a client that does not know tasks', async () => {
    const { call, send } = clientOf(await startHttp(), {});
    await call('sandbox_create');
    const { resultType, structuredContent } = await call('sandbox_run_command', RUN);
    expect(resultType).toBe('complete');
    expect(structuredContent).toMatchObject({
      status: 'running',
      next: expect.stringContaining('command_wait'),
    });
    for (const method of ['tasks/get', 'tasks/cancel', 'tasks/update'])
      expect((await send(method, { taskId: 'x' })).error).toMatchObject({
        code: -32021,
        data: { requiredCapabilities: KNOWN },
      });
  });

  it('is unknown to another principal', async () => {
    const [ann, bob] = ['token-of-ann-0123456789', 'token-of-bob-0123456789'];
    const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${ann},bob:${bob}` };
    const server = await startHttp({ env });
    const owner = clientOf(server, KNOWN, ann);
    await owner.call('sandbox_create');
    const { taskId } = await owner.call('sandbox_run_command', RUN);
    const other = clientOf(server, KNOWN, bob);
    for (const method of ['tasks/get', 'tasks/cancel', 'tasks/update'])
      expect((await other.send(method, { taskId })).error).toMatchObject({ code: -32602 });
    expect(await owner.get(taskId)).toMatchObject({ status: 'working' });
  });
});

describe('a long create', () => {
  it('is a task with the id of the sandbox', async () => {
    const world = openWorld();
    const { call, get } = clientOf(await startHttp({ world, softTimeoutMs: 20 }));
    const { release } = world.engine.hold('create');
    const { taskId, resultType } = await call('sandbox_create');
    expect(resultType).toBe('task');
    expect(taskId).toMatch(/^sbx_/);
    release();
    await expect.poll(() => get(taskId)).toMatchObject({ status: 'completed' });
    expect((await get(taskId))['result']).toMatchObject({
      structuredContent: { sandbox_id: taskId, status: 'running' },
    });
  });

  it('is a task also at a server that did not begin it', async () => {
    const world = openWorld();
    const first = clientOf(await startHttp({ world, softTimeoutMs: 20 }));
    const { send, get, call } = clientOf(await startHttp({ world }));
    const { release } = world.engine.hold('create');
    const { taskId } = await first.call('sandbox_create');
    expect(await get(taskId)).toMatchObject({ resultType: 'complete', taskId, status: 'working' });
    // The one that creates it can still undo it.
    expect((await send('tasks/cancel', { taskId })).error).toBeUndefined();
    release();
    await expect.poll(() => get(taskId)).toMatchObject({ status: 'completed' });
    const created = await first.get(taskId);
    expect(await get(taskId)).toMatchObject({ result: created['result'] });
    await call('sandbox_stop', { sandbox_id: taskId });
    await send('tasks/cancel', { taskId });
    expect(await get(taskId)).toMatchObject({
      status: 'completed',
      result: { structuredContent: { sandbox_id: taskId, status: 'stopped' } },
    });
  });

  it('is undone when its task is cancelled', async () => {
    const world = openWorld();
    const { call, get, send } = clientOf(await startHttp({ world, softTimeoutMs: 20 }));
    const { release } = world.engine.hold('create');
    const { taskId } = await call('sandbox_create');
    await send('tasks/cancel', { taskId });
    release();
    await expect.poll(() => get(taskId)).toMatchObject({ status: 'cancelled' });
    expect(await call('sandbox_get')).toMatchObject({ isError: true });
  });
});

it.each([undefined, 'task_2'])('refuses a request whose header names another task: %s', async (name) => {
  const server = await startHttp();
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': REVISION,
    'io.modelcontextprotocol/clientCapabilities': KNOWN,
  };
  for (const method of ['tasks/get', 'tasks/cancel', 'tasks/update']) {
    const message = { jsonrpc: '2.0', id: 1, method, params: { taskId: 'task_1', _meta } };
    const headers = { 'mcp-protocol-version': REVISION, 'mcp-method': method };
    const response = await post(server, message, { ...headers, ...(name && { 'mcp-name': name }) });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: -32020 } });
  }
});

it('says of an unknown task how to find out what it has done', async () => {
  const { send } = clientOf(await startHttp());
  for (const taskId of ['task_000000000000000000', 'sbx_222222222222'])
    expect((await send('tasks/get', { taskId })).error).toMatchObject({
      code: -32602,
      message: expect.stringContaining('Call session_info and snapshot_list'),
    });
});

it('makes a task of a long snapshot', async () => {
  const world = openWorld();
  const go = deferred<null>();
  class SlowSnapshots extends MemorySnapshots {
    override async take(sandboxId: string, expirationMs: number | null): Promise<Snapshot> {
      await go.promise;
      return super.take(sandboxId, expirationMs);
    }
  }
  world.engine.snapshots = new SlowSnapshots(world.engine, () => world.clock.now());
  const { call, get } = clientOf(await startHttp({ world, softTimeoutMs: 20 }));
  await call('sandbox_create');
  await expect.poll(() => call('sandbox_get')).toMatchObject({ structuredContent: { status: 'running' } });
  const { taskId, resultType } = await call('sandbox_snapshot');
  expect(resultType).toBe('task');
  go.resolve(null);
  await expect.poll(() => get(taskId)).toMatchObject({ status: 'completed' });
  expect((await get(taskId))['result']).toMatchObject({ structuredContent: { status: 'created' } });
});

it('forgets the oldest of large results, but not the newest', async () => {
  const tasks = new Tasks();
  const text = 'x'.repeat(9 * 1_024 ** 2);
  for (const name of ['first', 'second'])
    tasks.add(name, Promise.resolve({ content: [{ type: 'text', text }] }), () => {});
  await expect.poll(() => tasks.get('first')).toBeNull();
  expect(tasks.get('second')).toMatchObject({ status: 'completed' });
});

it('forgets a result once its time is over', async () => {
  let now = 1_000;
  const tasks = new Tasks(() => now);
  const { ttlMs } = tasks.add('one', Promise.resolve({ content: [] }), () => {});
  now += ttlMs;
  await expect.poll(() => tasks.get('one')).toMatchObject({ status: 'completed' });
  now += 1;
  expect(tasks.get('one')).toBeNull();
});

it('forgets the oldest of many ended tasks, and none that is running', async () => {
  const tasks = new Tasks();
  const running = tasks.add('running', new Promise(() => {}), () => {});
  const ended = Array.from({ length: 101 }, (_, index) =>
    tasks.add(`ended-${index}`, Promise.resolve({ content: [] }), () => {}),
  );
  await expect.poll(() => tasks.get('ended-0')).toBeNull();
  expect(tasks.get(ended[1]?.taskId ?? '')).toMatchObject({ status: 'completed' });
  expect(tasks.get(running.taskId)).toMatchObject({ status: 'working' });
});
