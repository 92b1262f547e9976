/** Answers that the SDK takes and that the stand-in never gives: the engine relies on nothing but the wire format. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engines/engine.ts';
import { newCommandId } from '../../../src/shared/ids.ts';
import {
  SCRIPTED_CREDENTIALS,
  type ScriptedApi,
  scriptedCommand,
  scriptedSession,
  scriptedSnapshot,
  startScriptedApi,
} from '../../fakes/vercel/scripted-api.ts';
import { createRequest, patience } from '../requests.ts';
import { type OpenedVercel, openVercelEngine } from '../vercel-engines.ts';

describe('the vercel engine', () => {
  let api: ScriptedApi;
  let opened: OpenedVercel;
  let engine: Engine;
  let sandboxId: string;

  beforeEach(async () => {
    api = await startScriptedApi();
    const access = { url: api.url, credentials: SCRIPTED_CREDENTIALS };
    opened = await openVercelEngine(access, { retryBaseMs: 1, pollMs: 5 });
    engine = opened.engine;
    ({ sandboxId } = await engine.create(createRequest(), patience()));
  });

  afterEach(async () => {
    await engine.close();
    await opened.remove();
    await api.close();
  });

  const run = (timeoutMs: number | null = null) => {
    const commandId = newCommandId(sandboxId);
    const request = { commandId, sandboxId, cmd: 'true', args: [], cwd: null, env: {}, sudo: false };
    return engine.commands.start({ ...request, timeoutMs }, patience());
  };

  it.each([204, 205])('asks once for a command whose answer is %i', async (status) => {
    api.answers.push(({ method, path, body }) =>
      method === 'POST' && path.endsWith('/cmd') && !body.includes('"wait"') ? { status, body: null } : null,
    );
    await expect(run()).rejects.toMatchObject({ code: 'server' });
    const started = api.asked('POST', '/cmd').filter(({ body }) => !body.includes('"wait"'));
    expect(started).toHaveLength(1);
  });

  it('goes on waiting for a command where a proxy has lost patience', async () => {
    const refused = [408, 429, 504];
    api.answers.push(({ path, query }) => {
      if (query.get('wait') !== 'true' || !path.includes('/cmd/')) return null;
      const status = refused.shift();
      return status === undefined
        ? { body: { command: scriptedCommand({ exitCode: 3 }) } }
        : { status, body: '' };
    });
    const { commandId } = await run();
    expect(await engine.commands.wait(commandId, patience())).toMatchObject({ exitCode: 3 });
  });

  it('reads a stream whose type names its encoding', async () => {
    api.answers.push(({ path }) =>
      path.endsWith('/logs')
        ? {
            headers: { 'content-type': 'application/x-ndjson; charset=utf-8' },
            body: '{"stream":"stdout","data":"here\\n"}\n',
          }
        : null,
    );
    const { commandId } = await run();
    await engine.commands.wait(commandId, patience());
    const all = { stream: 'both' as const, offset: 0, limit: 100 };
    const { chunks } = await engine.commands.readOutput(commandId, all, patience());
    expect(Buffer.concat(chunks.map(({ data }) => data)).toString()).toBe('here\n');
  });

  describe('after a snapshot', () => {
    const snapshots: string[] = ['created'];

    beforeEach(() => {
      api.answers.push(({ method, path }) => {
        if (method !== 'POST' || !path.endsWith('/snapshot')) return null;
        const [status] = snapshots;
        return { body: { snapshot: scriptedSnapshot({ status }), session: scriptedSession(api.session) } };
      });
      api.answers.push(({ method, path }) => {
        if (method === 'POST' && path.endsWith('/stop')) api.session = { ...api.session, status: 'stopped' };
        return null;
      });
    });

    it('tells the sandbox as stopped by it, whatever its session says', async () => {
      api.answers.unshift(({ path }) => {
        if (path.endsWith('/snapshot')) api.session = { snapshottedAt: Date.now() };
        return null;
      });
      await engine.snapshots?.take(sandboxId, null, patience());
      expect(await engine.get(sandboxId, patience())).toMatchObject({
        status: 'stopped',
        stopCause: 'snapshot',
        expiresAt: null,
      });
    });

    it('stops a sandbox that goes on all the same', async () => {
      await engine.snapshots?.take(sandboxId, null, patience());
      expect(api.asked('POST', '/stop')).toHaveLength(1);
      expect(await engine.get(sandboxId, patience())).toMatchObject({
        status: 'stopped',
        stopCause: 'snapshot',
      });
    });

    it('says that it failed, and leaves the sandbox as it is', async () => {
      snapshots.unshift('failed');
      await expect(engine.snapshots?.take(sandboxId, null, patience())).rejects.toMatchObject({
        code: 'server',
        message: expect.stringContaining('snapshot'),
      });
      snapshots.shift();
      expect(await engine.get(sandboxId, patience())).toMatchObject({ status: 'running', stopCause: null });
    });
  });
});
