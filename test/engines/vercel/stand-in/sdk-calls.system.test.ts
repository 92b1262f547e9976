/** The stand-in, tested with the unmodified SDK through every call of the SDK. */
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { Sandbox, Snapshot } from '@vercel/sandbox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { startVercelApi, type VercelApi } from '../../../fakes/vercel/index.ts';
import { fetchFrom } from '../../../fakes/vercel/sdk-fetch.ts';
import { OPERATIONS } from '../../../fakes/vercel/wire/operations.ts';

const DAY_MS = 86_400_000;

describe('the stand-in of the API', () => {
  let api: VercelApi;
  let access: { token: string; teamId: string; projectId: string; fetch: typeof globalThis.fetch };
  let shared: Sandbox;

  beforeAll(async () => {
    api = await startVercelApi();
    access = { ...api.credentials, fetch: fetchFrom(api.url) };
    shared = await Sandbox.create({ ...access, name: 'shared', persistent: false, ports: [8080] });
  });

  afterAll(async () => {
    await api.close();
    expect(api.violations).toEqual([]);
  });

  it('creates, gets, lists and updates sandboxes', async () => {
    const sandbox = await Sandbox.create({
      ...access,
      name: 'first',
      persistent: false,
      runtime: 'node24',
      timeout: 60_000,
      resources: { vcpus: 1 },
      env: { A: 'b' },
      tags: { owner: 'me' },
      networkPolicy: 'deny-all',
    });
    expect(sandbox).toMatchObject({ name: 'first', status: 'running', runtime: 'node24', timeout: 60_000 });
    expect(sandbox).toMatchObject({ vcpus: 1, memory: 2_048, persistent: false, networkPolicy: 'deny-all' });
    expect(await Sandbox.get({ ...access, name: 'first' })).toMatchObject({ status: 'running' });
    const page = await Sandbox.list({ ...access, limit: 1 });
    expect(page.sandboxes.map(({ name }) => name)).toEqual(['first']);
    const all = await (await Sandbox.list({ ...access, limit: 1 })).toArray();
    expect(all.map(({ name }) => name)).toEqual(['first', 'shared']);
    expect((await Sandbox.list({ ...access, tags: { owner: 'me' } })).sandboxes).toHaveLength(1);
    expect((await Sandbox.list({ ...access, namePrefix: 'sh' })).sandboxes).toHaveLength(1);
    await sandbox.extendTimeout(30_000);
    expect(sandbox.currentSession().timeout).toBe(90_000);
    await sandbox.update({
      networkPolicy: {
        allow: {
          'example.com': [{ match: { method: ['GET'] }, transform: [{ headers: { a: 'secret' } }] }],
          '*.example.org': [],
        },
        subnets: { deny: ['10.0.0.0/8'] },
      },
    });
    expect(sandbox.currentSession().networkPolicy).toEqual({
      allow: {
        'example.com': [{ match: { method: ['GET'] }, transform: [{ headers: { a: '<redacted>' } }] }],
        '*.example.org': [],
      },
      subnets: { deny: ['10.0.0.0/8'] },
    });
    expect((await sandbox.listSessions()).sessions).toHaveLength(1);
    expect(await api.alive()).toEqual(['shared', 'first']);
    await sandbox.stop();
    expect(sandbox.status).toBe('stopped');
    expect(await api.alive()).toEqual(['shared']);
    await sandbox.delete();
    await expect(Sandbox.get({ ...access, name: 'first' })).rejects.toMatchObject({
      response: { status: 404 },
    });
  });

  it('runs commands, which can be followed, awaited and killed', async () => {
    const done = await shared.runCommand({
      cmd: 'sh',
      args: ['-c', 'echo "grün $E"; echo no >&2; exit 3'],
      env: { E: 'e' },
    });
    expect(done.exitCode).toBe(3);
    expect(await done.stdout()).toBe('grün e\n');
    expect(await done.stderr()).toBe('no\n');
    const command = await shared.runCommand({
      cmd: 'sh',
      args: ['-c', 'echo up; sleep 100'],
      detached: true,
    });
    for await (const line of command.logs()) {
      expect(line).toEqual({ stream: 'stdout', data: 'up\n' });
      break;
    }
    expect((await shared.getCommand(command.cmdId)).exitCode).toBeNull();
    await command.kill('SIGCONT');
    const waiting = command.wait();
    await command.kill('SIGTERM');
    expect((await waiting).exitCode).toBe(143);
    expect(api.deeds.commands.slice(-2).map(({ cmd }) => cmd)).toEqual(['sh', 'sh']);
  });

  it('writes and reads files', async () => {
    await shared.mkDir('made');
    await expect(shared.mkDir('made')).rejects.toMatchObject({ response: { status: 400 } });
    await shared.writeFiles([
      { path: 'made/run.sh', content: Buffer.from('#!/bin/sh\necho ran\n'), mode: 0o755 },
      { path: '/tmp/deep/er', content: Buffer.alloc(3_000_000, 'x') },
    ]);
    expect((await (await shared.runCommand('./made/run.sh')).stdout()).trim()).toBe('ran');
    const big = await shared.readFile({ path: '/tmp/deep/er' });
    expect(big === null ? 0 : (await buffer(big)).length).toBe(3_000_000);
    expect(await shared.readFile({ path: 'none' })).toBeNull();
  });

  it('takes snapshots, starts from them, and reports deleted ones', async () => {
    const source = await Sandbox.create({ ...access, name: 'source', persistent: false });
    await source.writeFiles([{ path: 'kept', content: Buffer.from('kept') }]);
    const snapshot = await source.snapshot({ expiration: DAY_MS });
    expect(source.status).toBe('stopped');
    expect(snapshot).toMatchObject({
      status: 'created',
      sourceSessionId: source.currentSession().sessionId,
    });
    const { snapshotId } = snapshot;
    expect((await Snapshot.get({ ...access, snapshotId })).snapshotId).toBe(snapshotId);
    expect((await Snapshot.list({ ...access })).snapshots.map(({ id }) => id)).toEqual([snapshotId]);
    const from = { ...access, persistent: false, source: { type: 'snapshot' as const, snapshotId } };
    const restored = await Sandbox.create(from);
    expect(restored.sourceSnapshotId).toBe(snapshotId);
    expect((await restored.readFileToBuffer({ path: 'kept' }))?.toString()).toBe('kept');
    await restored.stop();
    await snapshot.delete();
    await expect(Sandbox.create(from)).rejects.toMatchObject({
      response: { status: 410 },
      json: { error: { code: 'snapshot_not_found' } },
    });
    expect(await api.alive()).toEqual(['shared']);
  });

  it('resumes stopped sandboxes, and counts that', async () => {
    const sandbox = await Sandbox.create({ ...access, name: 'again', persistent: false });
    await sandbox.stop();
    await (await Sandbox.get({ ...access, name: 'again' })).currentSession().stop();
    await sandbox.runCommand('true');
    expect(api.deeds.resumed).toEqual(['again']);
    await sandbox.stop();
  });

  it('opens terminals', async () => {
    const { url, token } = await shared.openInteractive();
    const socket = new WebSocket(`${url}?token=${token}`);
    await once(socket, 'open');
    let seen = '';
    let code: unknown = null;
    socket.on('message', (data, isBinary) => {
      if (isBinary) seen += String(data);
      else code = JSON.parse(String(data));
    });
    const start = { type: 'start', command: 'sh', args: [], env: ['A=b'], cwd: '/tmp', cols: 70, rows: 20 };
    socket.send(JSON.stringify(start));
    socket.send(Buffer.from('stty size; echo "$PWD $A"; exit 4\n'));
    await once(socket, 'close');
    expect(seen).toContain('20 70\r\n/tmp b\r\n');
    expect(code).toEqual({ type: 'exit', code: 4 });
  });

  it('exposes ports', () => {
    expect(shared.routes).toMatchObject([{ port: 8080, url: expect.stringMatching(/^http:/) }]);
    expect(shared.domain(8080)).toBe('https://sb-shared-8080.vercel.run');
  });

  it('accepts 15 ports and no more, and replaces them later', async () => {
    const ports = Array.from({ length: 15 }, (_, index) => 9_000 + index);
    const name = 'ports';
    const sandbox = await Sandbox.create({ ...access, name, persistent: false, ports });
    expect(sandbox.routes).toHaveLength(15);
    const tooMany = { response: { status: 400 }, json: { error: { code: 'bad_request' } } };
    await expect(sandbox.update({ ports: [...ports, 9_100] })).rejects.toMatchObject(tooMany);
    await sandbox.delete();
    const other = await Sandbox.create({ ...access, name: 'port', persistent: false, ports: [9_000] });
    await other.update({ ports: [9_000, 9_100] });
    expect(other.routes.map(({ port }) => port)).toEqual([9_000, 9_100]);
    await other.update({ ports: [9_100] });
    expect(other.routes.map(({ port }) => port)).toEqual([9_100]);
    await other.delete();
  });

  it('rejects a name that is taken, as a bad request', async () => {
    const message = "A sandbox with the name 'shared' already exists for this project.";
    await expect(Sandbox.create({ ...access, name: 'shared' })).rejects.toMatchObject({
      response: { status: 400 },
      json: { error: { code: 'bad_request', message } },
    });
  });

  it('reports when a sandbox expires, and rejects an extension past the maximum with its code', async () => {
    const { sandboxes } = await Sandbox.list({ ...access, namePrefix: 'shared' });
    const [listed] = sandboxes;
    const session = (await Sandbox.get({ ...access, name: 'shared', resume: false })).currentSession();
    expect(listed?.expiresAt).toBe((session.startedAt?.getTime() ?? 0) + session.timeout);
    await expect(shared.extendTimeout(5 * DAY_MS)).rejects.toMatchObject({
      response: { status: 400 },
      json: { error: { code: 'sandbox_timeout_invalid' } },
    });
  });

  it('delays answers about a sandbox that is being created until it exists', async () => {
    const name = 'asked-early';
    const making = Sandbox.create({ ...access, name, persistent: false });
    await expect.poll(() => api.deeds.created, { interval: 1 }).toContain(name);
    expect(await Sandbox.get({ ...access, name, resume: false })).toMatchObject({ name, status: 'running' });
    await (await making).delete();
    await expect(Sandbox.get({ ...access, name, resume: false })).rejects.toThrow('404');
  });

  it('rejects a wrong token, another team and another project', async () => {
    for (const wrong of [{ token: 'x' }, { teamId: 'x' }])
      await expect(Sandbox.get({ ...access, ...wrong, name: 'shared' })).rejects.toMatchObject({
        response: { status: 403 },
      });
    await expect(Sandbox.create({ ...access, projectId: 'x' })).rejects.toMatchObject({
      response: { status: 404 },
    });
  });

  it('cuts streams and waits at the limit of the platform', async () => {
    api.streamLimitMs = 300;
    try {
      const command = await shared.runCommand({ cmd: 'sleep', args: ['100'], detached: true });
      await expect(command.wait({ signal: AbortSignal.timeout(10_000) })).rejects.toThrow();
      await expect(command.stdout()).rejects.toThrow();
      await command.kill('SIGKILL');
    } finally {
      api.streamLimitMs = 300_000;
    }
  });

  it('received every request that the SDK can send', () => {
    const called = new Set(api.calls.map(({ operation }) => operation));
    expect(OPERATIONS.filter((operation) => !called.has(operation))).toEqual(['session.get']);
  });
});
