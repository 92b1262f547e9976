/** The client of the tasks extension, which polls until a task has ended. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import type { Snapshot } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { noFiles } from '../../fakes/memory-commands.ts';
import { MemorySnapshots } from '../../fakes/memory-snapshots.ts';
import { openWorld, temporaryFolder, type World } from '../../registry/support/registry.ts';
import { type HttpServer, post, startHttp } from '../http/support/http-server.ts';
import { connectNewest, REVISION } from '../http/support/newest-client.ts';
import { deferred } from '../support/connected-server.ts';

const Request = z.looseObject({
  method: z.string(),
  params: z.looseObject({ name: z.string().optional(), taskId: z.string().optional() }),
});
const Response = z.object({
  result: z.json().optional(),
  error: z.object({ code: z.number(), message: z.string(), data: z.json().optional() }).optional(),
});

/** A session of the extension's client, which leaves the sending of its requests to its program. */
async function connect(server: HttpServer) {
  const { client, call } = await connectNewest(server, { mode: 'pin' });
  const session = createTaskSessionFromClient(client, {
    endpointId: 'test',
    v2RequestFraming: {
      protocolVersion: REVISION,
      clientInfo: { name: 'test', version: '1' },
      clientCapabilities: {},
    },
    rawDispatch: async (request) => {
      const { method, params } = Request.parse(request);
      const headers = {
        'mcp-protocol-version': REVISION,
        'mcp-method': method,
        'mcp-name': params.name ?? params.taskId ?? '',
      };
      const response = await post(server, { jsonrpc: '2.0', id: 1, method, params }, headers);
      const { result, error } = Response.parse(await response.json());
      if (error === undefined) return { kind: 'result', result: result ?? null };
      return { kind: 'error', error };
    },
  });
  onTestFinished(() => session.close());
  return { session, call };
}

type Execution = Awaited<ReturnType<Awaited<ReturnType<typeof connect>>['session']['callTool']>>;

/** What a task returned at its end. */
async function resultOf(execution: Execution) {
  expect(execution.kind).toBe('task');
  return resultFromTaskOutcome(await execution.result());
}

async function statusOf(execution: Execution): Promise<string> {
  expect(execution.kind).toBe('task');
  return (await execution.result()).status;
}

describe('a client of the tasks extension', () => {
  it('follows a command, and can kill it', async () => {
    const server = await startHttp();
    const { session, call } = await connect(server);
    expect(session.capabilities).toMatchObject({ execution: true, cancellation: true });
    await call('sandbox_create');
    const run = () => session.callTool('sandbox_run_command', { cmd: 'sleep', wait_ms: 0 });
    const first = await run();
    server.world.engine.commands.finish(first.handle?.taskId ?? '', 3);
    expect(await resultOf(first)).toMatchObject({ structuredContent: { exit_code: 3 } });
    const second = await run();
    await second.cancel();
    expect(await statusOf(second)).toBe('cancelled');
    expect(await call('sandbox_get_command', { command_id: second.handle?.taskId })).toMatchObject({
      status: 'finished',
      ended_by: 'cancelled',
    });
  });

  it('gets the result of a call that is no task at once', async () => {
    const { session } = await connect(await startHttp());
    const execution = await session.callTool('sandbox_create', {});
    expect(execution.kind).toBe('immediate');
    expect(resultFromTaskOutcome(await execution.result())).toMatchObject({
      structuredContent: { status: 'running' },
    });
  });

  it('follows a long create, and can undo it', async () => {
    const world = openWorld();
    const { session, call } = await connect(await startHttp({ world, softTimeoutMs: 20 }));
    const held = world.engine.hold('create');
    const first = await session.callTool('sandbox_create', {});
    held.release();
    expect(await resultOf(first)).toMatchObject({
      structuredContent: { sandbox_id: first.handle?.taskId, status: 'running' },
    });
    const again = world.engine.hold('create');
    const second = await session.callTool('sandbox_create', {});
    await second.cancel();
    again.release();
    expect(await statusOf(second)).toBe('cancelled');
    expect((await call('sandbox_get', { sandbox_id: second.handle?.taskId })).text).toContain('not_found');
  });

  it('follows a long snapshot, which a cancellation does not undo', async () => {
    const world = openWorld();
    const gates = [deferred<null>(), deferred<null>()];
    let taken = 0;
    class SlowSnapshots extends MemorySnapshots {
      override async take(sandboxId: string, expirationMs: number | null): Promise<Snapshot> {
        const gate = gates[taken];
        taken += 1;
        await gate?.promise;
        return super.take(sandboxId, expirationMs);
      }
    }
    world.engine.snapshots = new SlowSnapshots(world.engine, () => world.clock.now());
    const { session, call } = await connect(await startHttp({ world, softTimeoutMs: 20 }));
    const take = async () => {
      const { sandbox_id } = await call('sandbox_create');
      return session.callTool('sandbox_snapshot', { sandbox_id: String(sandbox_id) });
    };
    const first = await take();
    gates[0]?.resolve(null);
    expect(await resultOf(first)).toMatchObject({ structuredContent: { status: 'created' } });
    const second = await take();
    await second.cancel();
    gates[1]?.resolve(null);
    await second.result();
    await expect
      .poll(async () => (await call('snapshot_list'))['snapshots'])
      .toMatchObject([{ status: 'created' }, { status: 'created' }]);
  });

  it('follows a long upload, and can undo it', async () => {
    const { world, go, started, undone } = slowUploads();
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'local'));
    writeFileSync(join(folder, 'local', 'f'), 'text');
    const flags = { 'allow-dir': folder };
    const { session, call } = await connect(await startHttp({ world, softTimeoutMs: 20, flags }));
    await call('sandbox_create');
    const upload = (remote: string) =>
      session.callTool('sandbox_upload_file', { local_path: 'f', remote_path: remote });
    const first = await upload('one');
    go.resolve(null);
    expect(await resultOf(first)).toMatchObject({
      structuredContent: { status: 'done', files: 1, bytes: 4 },
    });
    const second = await upload('endless');
    await started.promise;
    await second.cancel();
    expect(await statusOf(second)).toBe('cancelled');
    await undone.promise;
  });

  it('follows a long download, and can undo it', async () => {
    const { world, go, started } = slowDownloads();
    const folder = temporaryFolder();
    const flags = { 'allow-dir': folder };
    const { session, call } = await connect(await startHttp({ world, softTimeoutMs: 20, flags }));
    await call('sandbox_create');
    const download = (remote: string) =>
      session.callTool('sandbox_download_file', { remote_path: remote, local_path: remote });
    const first = await download('one');
    go.resolve(null);
    expect(await resultOf(first)).toMatchObject({
      structuredContent: { status: 'done', files: 1, bytes: 4 },
    });
    expect(readFileSync(join(folder, 'local', 'one'), 'utf8')).toBe('text');
    const second = await download('endless');
    await started.promise;
    await second.cancel();
    expect(await statusOf(second)).toBe('cancelled');
    // Neither the file nor what was staged for it.
    await expect.poll(() => readdirSync(join(folder, 'local'))).toEqual(['one']);
  });
});

/** An engine whose file `one` is read once `go` says so, and whose other files never end. */
function slowDownloads() {
  const world: World = openWorld();
  const [go, started] = [deferred<null>(), deferred<null>()];
  const readTree: typeof noFiles.readTree = async function* (_sandboxId, path, _cwd, signal) {
    const isEndless = !path.endsWith('one');
    async function* bytes() {
      yield Buffer.from('te');
      if (!isEndless) await go.promise;
      else {
        started.resolve(null);
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        throw signal.reason;
      }
      yield Buffer.from('xt');
    }
    const content = Readable.from(bytes());
    yield { path: '', type: 'file', mode: 0o644, linkTarget: null, content };
  };
  const stat: typeof noFiles.stat = async (_sandboxId, path) => ({
    path: `/home/${path}`,
    type: 'file',
    sizeBytes: 4,
    mode: 0o644,
  });
  Object.assign(world.engine, { files: { ...noFiles, stat, readTree } });
  return { world, go, started };
}

/** An engine that takes its time for what is uploaded: to `one` until `go`, and to anything else for ever. */
function slowUploads() {
  const world: World = openWorld();
  const go = deferred<null>();
  const [started, undone] = [deferred<null>(), deferred<null>()];
  const writeTree: typeof noFiles.writeTree = async (_sandboxId, path, _cwd, entries, signal) => {
    for await (const { content } of entries) if (content !== null) await buffer(contentChunks(content));
    if (path.endsWith('one')) await go.promise;
    else {
      started.resolve(null);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      undone.resolve(null);
      throw signal.reason;
    }
    return { path, files: 1, bytes: 4 };
  };
  Object.assign(world.engine, { files: { ...noFiles, stat: async () => null, writeTree } });
  return { world, go, started, undone };
}
