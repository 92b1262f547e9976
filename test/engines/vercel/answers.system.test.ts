/** Responses that the SDK accepts but the stand-in never sends: the engine relies only on the wire format. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engines/engine.ts';
import { newCommandId } from '../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import {
  SCRIPTED_CREDENTIALS,
  type ScriptedApi,
  scriptedCommand,
  startScriptedApi,
} from '../../fakes/vercel/scripted-api.ts';
import { type OpenedVercel, openVercelEngine } from './support/vercel-engines.ts';

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
    ({ sandboxId } = await engine.create(createRequest(), timeoutSignal()));
  });

  afterEach(async () => {
    await engine.close();
    await opened.remove();
    await api.close();
  });

  const run = (timeoutMs: number | null = null) => {
    const commandId = newCommandId(sandboxId);
    const request = { commandId, sandboxId, cmd: 'true', args: [], cwd: null, env: {}, sudo: false };
    return engine.commands.start({ ...request, timeoutMs }, timeoutSignal());
  };

  /** A finished command without output. */
  const finishedStream = (exitCode: number) => {
    const lines = [null, exitCode].map((code) => ({ command: scriptedCommand({ exitCode: code }) }));
    const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    return { headers: { 'content-type': 'application/x-ndjson' }, body };
  };

  it.each([204, 205])('requests a command only once if the response is %i', async (status) => {
    api.answers.push(({ method, path, body }) =>
      method === 'POST' && path.endsWith('/cmd') && !body.includes('"wait"') ? { status, body: null } : null,
    );
    await expect(run()).rejects.toMatchObject({ code: 'server' });
    const started = api.requestsTo('POST', '/cmd').filter(({ body }) => !body.includes('"wait"'));
    expect(started).toHaveLength(1);
  });

  it('names the variable of a rejected token', async () => {
    const payload = { owner_id: 'team_scripted', project_id: 'prj_scripted' };
    const token = `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.x`;
    const other = await openVercelEngine({ url: api.url, credentials: { oidcToken: token } });
    api.answers.push(() => ({ status: 403, body: { error: { code: 'forbidden', invalidToken: true } } }));
    const hint = expect.stringMatching(/vercel env pull.*VERCEL_OIDC_TOKEN/);
    const refused = { code: 'auth', hint };
    await expect(other.engine.create(createRequest(), timeoutSignal())).rejects.toMatchObject(refused);
    await expect(
      other.engine.snapshots?.list({ limit: 1, since: null, until: null, cursor: null }, timeoutSignal()),
    ).rejects.toMatchObject(refused);
    await other.engine.close();
    await other.remove();
  });

  it('reports the project of a sandbox in another project', async () => {
    const credentials = { ...SCRIPTED_CREDENTIALS, projectId: 'prj_other' };
    const other = await openVercelEngine({ url: api.url, credentials }, { stateDir: opened.stateDir });
    await expect(other.engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({
      code: 'permission',
      message: expect.stringMatching(/in project prj_scripted of team team_scripted; .* prj_other/),
    });
    await other.engine.close();
  });

  it('treats a 410 as not found, whatever its message', async () => {
    const response = { status: 410, body: { error: { code: 'gone', message: 'Gone' } } };
    api.answers.push(({ method, path, body }) => {
      const isOwn = method !== 'POST' && path.endsWith(`/${sandboxId}`);
      return isOwn || path.endsWith('/snap_scripted') || body.includes('snap_scripted') ? response : null;
    });
    const missing = { code: 'not_found', message: expect.stringContaining('snap_scripted') };
    await expect(engine.snapshots?.get('snap_scripted', timeoutSignal())).rejects.toMatchObject(missing);
    const source = { type: 'snapshot' as const, snapshotId: 'snap_scripted' };
    await expect(engine.create(createRequest({ source }), timeoutSignal())).rejects.toMatchObject(missing);
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'aborted' });
    await engine.forget(sandboxId, timeoutSignal());
    await expect(engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
  });

  it('keeps waiting for a command after a timeout in a proxy', async () => {
    const refused = [408, 429, 504];
    api.answers.push(({ path, query }) => {
      if (query.get('wait') !== 'true' || !path.includes('/cmd/')) return null;
      const status = refused.shift();
      return status === undefined
        ? { body: { command: scriptedCommand({ exitCode: 3 }) } }
        : { status, body: '' };
    });
    const { commandId } = await run();
    expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({ exitCode: 3 });
  });

  it('reads a stream whose content type names its encoding', async () => {
    api.answers.push(({ path }) =>
      path.endsWith('/logs')
        ? {
            headers: { 'content-type': 'application/x-ndjson; charset=utf-8' },
            body: '{"stream":"stdout","data":"here\\n"}\n',
          }
        : null,
    );
    const { commandId } = await run();
    await engine.commands.wait(commandId, timeoutSignal());
    const all = { stream: 'both' as const, offset: 0, limit: 100 };
    const { chunks } = await engine.commands.readOutput(commandId, all, timeoutSignal());
    expect(Buffer.concat(chunks.map(({ data }) => data)).toString()).toBe('here\n');
  });

  it('reports who killed a command without an exit code from the platform', async () => {
    let isKilled = false;
    let notify = (): void => {};
    const waited = new Promise<void>((resolve) => {
      notify = resolve;
    });
    api.answers.push(({ method, path, query }) => {
      if (path.endsWith('/kill')) isKilled = true;
      const exitCode = isKilled ? -1 : null;
      if (query.get('wait') === 'true' && !isKilled) {
        notify();
        return { status: 504, body: '' };
      }
      if (method === 'POST' && path.endsWith('/cmd')) return null;
      return /\/cmd\//.test(path) && !path.endsWith('/logs')
        ? { body: { command: scriptedCommand({ exitCode }) } }
        : null;
    });
    // An image without bash: only the platform's own mechanism is available.
    api.answers.push(({ path, body }) =>
      path.endsWith('/cmd') && body.includes('"wait"') ? finishedStream(127) : null,
    );
    const { commandId } = await run();
    await waited;
    await engine.commands.kill(commandId, 'SIGKILL', 'killed', timeoutSignal());
    expect(await engine.commands.wait(commandId, timeoutSignal())).toMatchObject({ endedBy: 'killed' });
  });

  it('does not mistake a running snapshot for the end of a command', async () => {
    // There is no shell, so the platform must send the signal.
    const refusal = (status: string) => ({
      status: 422,
      body: { error: { code: `sandbox_${status}`, message: 'Refused' } },
    });
    let status = 'running';
    const become = (next: string) => {
      status = next;
      api.session = { status };
    };
    api.answers.push(({ method, path, body }) => {
      if (method === 'POST' && path.endsWith('/cmd') && body.includes('"wait"'))
        return status === 'running' ? finishedStream(127) : refusal(status);
      return /\/cmd\//.test(path) && !path.endsWith('/logs')
        ? { body: { command: scriptedCommand({ exitCode: null }) } }
        : null;
    });
    const { commandId } = await run();
    const kill = () => engine.commands.kill(commandId, 'SIGTERM', 'killed', timeoutSignal());
    become('snapshotting');
    await expect(kill()).rejects.toMatchObject({ code: 'conflict' });
    expect(api.requestsTo('POST', '/kill')).toHaveLength(0);
    become('running');
    await kill();
    expect(api.requestsTo('POST', '/kill')).toHaveLength(1);
    become('stopping');
    await kill();
  });

  it('reports that a sandbox was restarted elsewhere, and works in it from then on', async () => {
    await run();
    const before = api.requestsTo('POST', '/cmd').length;
    api.session = { id: 'ses_other' };
    api.answers.push(({ path }) =>
      path.includes('/ses_scripted/')
        ? { status: 410, body: { error: { code: 'sandbox_stopped', message: 'Sandbox is stopped' } } }
        : null,
    );
    await expect(run()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.not.stringContaining('is running'),
    });
    await run();
    expect(api.requestsTo('POST', '/ses_other/cmd')).toHaveLength(1);
    expect(api.requestsTo('POST', '/cmd').length - before).toBe(2);
  });

  it('keeps the record of a sandbox whose removal is refused because it is stopping', async () => {
    api.answers.push(({ method }) =>
      method === 'DELETE' && api.requestsTo('DELETE', sandboxId).length === 1
        ? { status: 410, body: { error: { code: 'sandbox_stopping', message: 'Sandbox is stopping' } } }
        : null,
    );
    await expect(engine.forget(sandboxId, timeoutSignal())).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('remove'),
    });
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ sandboxId });
    await engine.forget(sandboxId, timeoutSignal());
    expect(api.requestsTo('DELETE', sandboxId)).toHaveLength(2);
  });
});
