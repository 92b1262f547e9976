/** Surprising behaviour of the platform, handled by the engine. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Sandbox } from '@vercel/sandbox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engines/engine.ts';
import { CommandFollow } from '../../../src/engines/vercel/commands/command-stream.ts';
import { newCommandId } from '../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { startVercelApi, type VercelApi } from '../../fakes/vercel/index.ts';
import { fetchFrom } from '../../fakes/vercel/sdk-fetch.ts';
import { type OpenedVercel, openVercelEngine } from './support/vercel-engines.ts';

const STREAM_LIMIT_MS = 300_000;

describe('the vercel engine', () => {
  let api: VercelApi;
  let opened: OpenedVercel;
  let engine: Engine;
  let sandboxId: string;

  beforeAll(async () => {
    api = await startVercelApi();
    opened = await openVercelEngine(api, { retryBaseMs: 1, pollMs: 20 });
    engine = opened.engine;
    ({ sandboxId } = await engine.create(createRequest(), timeoutSignal()));
  });

  afterAll(async () => {
    await engine.forget(sandboxId, timeoutSignal());
    await engine.close();
    const alive = await api.alive();
    await api.close();
    await opened.remove();
    expect(api.violations).toEqual([]);
    expect(api.deeds.resumed).toEqual([]);
    expect(alive).toEqual([]);
  });

  const start = (script: string, by = engine, where = sandboxId) =>
    by.commands.start(
      {
        commandId: newCommandId(where),
        sandboxId: where,
        cmd: 'sh',
        args: ['-c', script],
        cwd: null,
        env: {},
        sudo: false,
        timeoutMs: null,
      },
      timeoutSignal(),
    );

  const output = async (commandId: string, by = engine) => {
    const request = { stream: 'both' as const, offset: 0, limit: 10_000_000 };
    const { chunks, droppedBytes } = await by.commands.readOutput(commandId, request, timeoutSignal());
    return { text: Buffer.concat(chunks.map(({ data }) => data)).toString(), droppedBytes };
  };

  async function withStreamLimit(limitMs: number, work: () => Promise<void>): Promise<void> {
    api.streamLimitMs = limitMs;
    try {
      await work();
    } finally {
      api.streamLimitMs = STREAM_LIMIT_MS;
    }
  }

  it("waits longer than the platform's limit for a request", async () => {
    await withStreamLimit(150, async () => {
      const { commandId } = await start('sleep 1; exit 7');
      expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({
        exitCode: 7,
        endedBy: 'exit',
      });
    });
  });

  it('resumes a truncated stream without loss or repetition', async () => {
    await withStreamLimit(400, async () => {
      const script =
        'for n in 1 2 3 4 5 6 7 8; do printf "größe %s 雪\\n" $n; printf "e%s\\n" $n >&2; sleep 0.2; done';
      const { commandId } = await start(script);
      const finished = await engine.commands.wait(commandId, timeoutSignal());
      const lines = [1, 2, 3, 4, 5, 6, 7, 8];
      const stdout = lines.map((n) => `größe ${n} 雪\n`).join('');
      const { text, droppedBytes } = await output(commandId);
      expect(droppedBytes).toBe(0);
      expect(text.split('\n').filter((line) => line.startsWith('g'))).toEqual(stdout.trim().split('\n'));
      expect(text.split('\n').filter((line) => line.startsWith('e'))).toEqual(lines.map((n) => `e${n}`));
      expect(finished).toMatchObject({ stdoutBytes: Buffer.byteLength(stdout), stderrBytes: 24 });
    });
  });

  it.each([0, 1, 3])('resumes a stream that breaks after %i lines', async (lines) => {
    api.faults.add({ kind: 'half', operation: 'command.logs', times: 3, lines });
    const { commandId } = await start('seq 1 60000; exit 5');
    expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({ exitCode: 5 });
    const { text, droppedBytes } = await output(commandId);
    api.faults.clear();
    expect(droppedBytes).toBe(0);
    expect(text === Array.from({ length: 60_000 }, (_, n) => `${n + 1}\n`).join('')).toBe(true);
  });

  it('returns what an earlier process has read if it cannot be read again', async () => {
    const made = await engine.create(createRequest(), timeoutSignal());
    const tuning = { stateDir: opened.stateDir, retryBaseMs: 1, pollMs: 20 };
    const earlier = (await openVercelEngine(api, tuning)).engine;
    const whole = Array.from({ length: 2_000 }, (_, n) => `${n + 1}\n`).join('');
    const { commandId } = await start('seq 1 2000; sleep 300', earlier, made.sandboxId);
    await earlier.commands.waitForOutput(commandId, whole.length - 1, timeoutSignal());
    await earlier.close();
    api.faults.add({ kind: 'half', operation: 'command.logs', lines: 0 });
    const later = (await openVercelEngine(api, tuning)).engine;
    expect(await later.commands.get(commandId, timeoutSignal())).toMatchObject({ status: 'running' });
    await later.stop(made.sandboxId, 'requested', timeoutSignal());
    expect(await later.commands.get(commandId, timeoutSignal())).toMatchObject({
      endedBy: 'sandbox_stopped',
      stdoutBytes: whole.length,
    });
    expect(await output(commandId, later)).toEqual({ text: whole, droppedBytes: 0 });
    api.faults.clear();
    await later.forget(made.sandboxId, timeoutSignal());
    await later.close();
  });

  it('treats output that it stopped reading as incomplete', async () => {
    api.faults.add({ kind: 'hang', operation: 'command.logs' });
    const access = { ...api.credentials, fetch: fetchFrom(api.url) };
    const session = (await Sandbox.get({ ...access, name: sandboxId })).currentSession();
    const command = await session.runCommand({ cmd: 'echo', args: ['word'], detached: true });
    const directory = join(opened.stateDir, 'unread');
    const follow = new CommandFollow(command, directory, { retryBaseMs: 1, attempts: 3 });
    expect(await follow.exit).toMatchObject({ exitCode: 0 });
    const drained = follow.drained();
    follow.close();
    await drained;
    api.faults.clear();
    expect(follow.complete).toBe(false);
  });

  it.each([409, 410] as const)(
    'does not treat a %i as the end of a running sandbox, and kills later',
    async (kind) => {
      const { commandId } = await start('sleep 300');
      const kill = () => engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
      api.faults.add({ kind, operation: 'command.run', times: 1 });
      await expect(kill()).rejects.toMatchObject({
        code: 'conflict',
        hint: expect.stringContaining('Call again'),
        details: { command_id: commandId },
      });
      expect(await engine.commands.get(commandId, timeoutSignal())).toMatchObject({ status: 'running' });
      expect(await kill()).toMatchObject({ status: 'finished', exitCode: 137, endedBy: 'killed' });
    },
  );

  it('creates ephemeral sandboxes', async () => {
    const access = { ...api.credentials, fetch: fetchFrom(api.url) };
    expect(await Sandbox.get({ ...access, name: sandboxId })).toMatchObject({ persistent: false });
  });

  it('sends the headers of a rule, and never reveals them', async () => {
    const networkPolicy = {
      mode: 'custom' as const,
      allow: ['*.example.org'],
      subnets: { allow: ['203.0.113.0/24'], deny: ['10.0.0.0/8'] },
      rules: [
        {
          domain: 'api.example.com',
          match: { methods: ['GET'], pathPrefix: '/v1/' },
          headers: { authorization: 'Bearer s3cret' },
        },
      ],
    };
    const made = await engine.create(createRequest({ networkPolicy }), timeoutSignal());
    expect(JSON.stringify(made)).not.toContain('s3cret');
    expect(made.networkPolicy).toMatchObject({
      mode: 'custom',
      allow: expect.arrayContaining(['*.example.org']),
      subnets: networkPolicy.subnets,
      rules: [
        {
          domain: 'api.example.com',
          match: { methods: ['GET'], pathPrefix: '/v1/' },
          headers: { authorization: '***' },
        },
      ],
    });
    await engine.forget(made.sandboxId, timeoutSignal());
  });

  it('waits as long as Retry-After requires, then continues', async () => {
    api.faults.add({ kind: 429, operation: 'sandbox.get', times: 1, retryAfter: 1 });
    const before = performance.now();
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'running' });
    expect(performance.now() - before).toBeGreaterThanOrEqual(990);
  });

  it('reports how long to wait if that is too long', async () => {
    api.faults.add({ kind: 429, operation: 'sandbox.get', times: 1, retryAfter: 600 });
    await expect(engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({
      code: 'rate_limit',
      hint: expect.stringContaining('600'),
    });
  });

  it('reports a deleted snapshot as not found', async () => {
    const source = await engine.create(createRequest(), timeoutSignal());
    const { snapshotId = '' } = (await engine.snapshots?.take(source.sandboxId, null, timeoutSignal())) ?? {};
    await engine.snapshots?.delete(snapshotId, timeoutSignal());
    const create = createRequest({ source: { type: 'snapshot', snapshotId } });
    const missing = { code: 'not_found', message: expect.stringContaining(snapshotId) };
    await expect(engine.create(create, timeoutSignal())).rejects.toMatchObject(missing);
    await expect(engine.snapshots?.get(snapshotId, timeoutSignal())).rejects.toMatchObject(missing);
    await engine.forget(source.sandboxId, timeoutSignal());
  });

  it('rejects a runtime together with a snapshot before any request', async () => {
    const creates = api.calls.filter(({ operation }) => operation === 'sandbox.create').length;
    const source = { type: 'snapshot' as const, snapshotId: 'snap_000000000000' };
    await expect(
      engine.create(createRequest({ source, runtime: 'node24' }), timeoutSignal()),
    ).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('node24'),
    });
    expect(api.calls.filter(({ operation }) => operation === 'sandbox.create')).toHaveLength(creates);
  });

  it('never shortens the lifetime of a sandbox that it attaches to', async () => {
    const made = await engine.create(createRequest({ timeoutMs: 60_000 }), timeoutSignal());
    await engine.extendTimeout(made.sandboxId, 240_000, timeoutSignal());
    const again = await openVercelEngine(api, { stateDir: opened.stateDir });
    await again.engine.ports?.open(made.sandboxId, timeoutSignal());
    expect(await again.engine.get(made.sandboxId, timeoutSignal())).toMatchObject({ timeoutMs: 300_000 });
    await again.engine.close();
    expect(await engine.get(made.sandboxId, timeoutSignal())).toMatchObject({ timeoutMs: 300_000 });
    await engine.forget(made.sandboxId, timeoutSignal());
  });

  it('reports the next step for a stopped sandbox, without restarting it', async () => {
    const made = await engine.create(createRequest(), timeoutSignal());
    await engine.stop(made.sandboxId, 'requested', timeoutSignal());
    await expect(engine.files.stat(made.sandboxId, '/', null, timeoutSignal())).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('sandbox_create'),
    });
    expect(await api.alive()).toEqual([sandboxId]);
  });

  it('names the variable of a wrong token, and how to renew it', async () => {
    const credentials = { ...api.credentials, token: 'wrong' };
    const wrong = await openVercelEngine({ url: api.url, credentials });
    await expect(wrong.engine.create(createRequest(), timeoutSignal())).rejects.toMatchObject({
      code: 'auth',
      hint: expect.stringContaining('VERCEL_TOKEN'),
    });
    await wrong.engine.close();
    await wrong.remove();
  });

  it('reports a refused connection as such', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const address = closed.address();
    await new Promise((resolve) => closed.close(resolve));
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const lost = await openVercelEngine(
      { url: `http://127.0.0.1:${port}/api`, credentials: api.credentials },
      { retryBaseMs: 1 },
    );
    const request = createRequest();
    await expect(lost.engine.create(request, timeoutSignal())).rejects.toMatchObject({ code: 'unavailable' });
    // Nothing was requested, so nothing can have happened.
    await expect(lost.engine.get(request.sandboxId, timeoutSignal())).rejects.toMatchObject({
      code: expect.stringMatching(/unavailable|not_found/),
    });
    await lost.engine.close();
    await lost.remove();
  });
});
