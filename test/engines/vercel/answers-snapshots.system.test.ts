/**
 * Snapshot responses that the SDK accepts but the stand-in never sends, and their effect on the source
 * sandbox.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engines/engine.ts';
import { newCommandId } from '../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import {
  SCRIPTED_CREDENTIALS,
  type ScriptedApi,
  scriptedSession,
  scriptedSnapshot,
  startScriptedApi,
} from '../../fakes/vercel/scripted-api.ts';
import { type OpenedVercel, openVercelEngine } from './support/vercel-engines.ts';

describe('the vercel engine after a snapshot', () => {
  let api: ScriptedApi;
  let opened: OpenedVercel;
  let engine: Engine;
  let sandboxId: string;
  const snapshots: string[] = ['created'];

  beforeEach(async () => {
    api = await startScriptedApi();
    const access = { url: api.url, credentials: SCRIPTED_CREDENTIALS };
    opened = await openVercelEngine(access, { retryBaseMs: 1, pollMs: 5, effectMs: 20 });
    engine = opened.engine;
    ({ sandboxId } = await engine.create(createRequest(), timeoutSignal()));
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

  afterEach(async () => {
    await engine.close();
    await opened.remove();
    await api.close();
  });

  it('reports the sandbox as stopped by it, whatever its session reports', async () => {
    api.answers.unshift(({ path }) => {
      if (path.endsWith('/snapshot')) api.session = { snapshottedAt: Date.now() };
      return null;
    });
    await engine.snapshots?.take(sandboxId, null, timeoutSignal());
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
      status: 'stopped',
      stopCause: 'snapshot',
      expiresAt: null,
    });
  });

  it('stops a sandbox that keeps running', async () => {
    await engine.snapshots?.take(sandboxId, null, timeoutSignal());
    expect(api.requestsTo('POST', '/stop')).toHaveLength(1);
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
      status: 'stopped',
      stopCause: 'snapshot',
    });
  });

  it('reports its failure, and leaves the sandbox unchanged', async () => {
    snapshots.unshift('failed');
    await expect(engine.snapshots?.take(sandboxId, null, timeoutSignal())).rejects.toMatchObject({
      code: 'server',
      message: expect.stringContaining('snapshot'),
    });
    snapshots.shift();
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
      status: 'running',
      stopCause: null,
    });
  });

  describe('that failed, but whose timestamp remains in the session', () => {
    let snapshottedAt: number;

    beforeEach(async () => {
      snapshottedAt = Date.now();
      let fail = (): void => {};
      const failed = new Promise<void>((resolve) => {
        fail = resolve;
      });
      const requested = new Promise<void>((resolve) => {
        api.answers.unshift(async ({ path }) => {
          if (!path.endsWith('/snapshot')) return null;
          api.session = { snapshottedAt };
          resolve();
          await failed;
          const snapshot = scriptedSnapshot({ status: 'failed' });
          return { body: { snapshot, session: scriptedSession(api.session) } };
        });
      });
      const taking = engine.snapshots?.take(sandboxId, null, timeoutSignal());
      const refused = expect(taking).rejects.toMatchObject({ code: 'server' });
      await requested;
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'snapshotting' });
      fail();
      await refused;
    });

    it('leaves the sandbox usable', async () => {
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'running' });
      const commandId = newCommandId(sandboxId);
      const request = { commandId, sandboxId, cmd: 'true', args: [], cwd: null, env: {}, sudo: false };
      await engine.commands.start({ ...request, timeoutMs: null }, timeoutSignal());
      expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({ endedBy: 'exit' });
    });

    it('is not the cause of a requested end', async () => {
      const stopped = await engine.stop(sandboxId, 'requested', timeoutSignal());
      expect(stopped).toMatchObject({ status: 'stopped', stopCause: 'requested' });
    });

    it('is not the cause of the end at the deadline', async () => {
      const stoppedAt = snapshottedAt + 300_000;
      api.session = { snapshottedAt, startedAt: snapshottedAt, stoppedAt, status: 'stopped' };
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ stopCause: 'deadline' });
    });
  });

  it('is reported for a sandbox that another machine snapshots', async () => {
    api.session = { snapshottedAt: Date.now() };
    const other = await openVercelEngine({ url: api.url, credentials: SCRIPTED_CREDENTIALS });
    expect(await other.engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'snapshotting' });
    await other.engine.close();
    await other.remove();
    api.session = { ...api.session, status: 'stopped' };
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ stopCause: 'snapshot' });
  });

  describe('whose response is lost', () => {
    /** The platform's list; empty until the snapshot exists. */
    let listed: object[];

    beforeEach(() => {
      listed = [];
      api.answers.unshift(({ method, path }) => {
        if (method === 'POST' && path.endsWith('/snapshot')) return { status: 502, body: 'bad gateway' };
        if (path.endsWith('/snapshots'))
          return { body: { snapshots: listed, pagination: { count: listed.length, next: null } } };
        return path.includes('/snapshots/') ? { body: { snapshot: scriptedSnapshot() } } : null;
      });
    });

    it('is awaited while the platform takes it', async () => {
      const waiting = new Promise<void>((resolve) => {
        api.answers.unshift(({ path }) => {
          if (path.endsWith('/snapshot')) api.session = { snapshottedAt: Date.now() };
          // Far longer than `effectMs`: only the session's state keeps the engine waiting.
          if (api.requestsTo('GET', '/snapshots').length > 5) resolve();
          return null;
        });
      });
      const taking = engine.snapshots?.take(sandboxId, null, timeoutSignal());
      await waiting;
      listed = [scriptedSnapshot()];
      api.session = { ...api.session, status: 'stopped', stoppedAt: Date.now() };
      expect(await taking).toMatchObject({ sourceSandboxId: sandboxId, status: 'created' });
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ stopCause: 'snapshot' });
    });

    it('fails at once if the platform reports its failure', async () => {
      api.answers.unshift(({ path }) => {
        if (path.endsWith('/snapshot')) api.session = { snapshottedAt: Date.now() };
        return null;
      });
      listed = [scriptedSnapshot({ status: 'failed' })];
      const taking = engine.snapshots?.take(sandboxId, null, timeoutSignal());
      await expect(taking).rejects.toMatchObject({ hint: expect.not.stringContaining('snapshot_list') });
    });

    it('is attributed to its sandbox if it is taken after the call has failed', async () => {
      const taking = engine.snapshots?.take(sandboxId, null, timeoutSignal());
      await expect(taking).rejects.toMatchObject({ hint: expect.stringContaining('snapshot_list') });
      listed = [scriptedSnapshot()];
      api.session = { snapshottedAt: Date.now(), status: 'stopped', stoppedAt: Date.now() };
      const query = { limit: 10, since: null, until: null, cursor: null };
      expect(await engine.snapshots?.list(query, timeoutSignal())).toMatchObject({
        items: [{ sourceSandboxId: sandboxId }],
      });
      expect(await engine.snapshots?.get(scriptedSnapshot().id, timeoutSignal())).toMatchObject({
        sourceSandboxId: sandboxId,
      });
      expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ stopCause: 'snapshot' });
    });
  });
});
