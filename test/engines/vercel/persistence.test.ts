/**
 * Sandboxes that other machines know too, with scripted responses: attached, named, resumed, restarted
 * elsewhere.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CreateSandbox, Engine, Persistence } from '../../../src/engines/engine.ts';
import { newSandboxId } from '../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { SCRIPTED_CREDENTIALS, type ScriptedApi, startScriptedApi } from '../../fakes/vercel/scripted-api.ts';
import { type OpenedVercel, openVercelEngine } from './support/vercel-engines.ts';

const NOT_FOUND = { status: 404, body: { error: { code: 'not_found', message: 'Sandbox not found' } } };

describe('a sandbox that other machines know too', () => {
  let api: ScriptedApi;
  const opened: OpenedVercel[] = [];

  beforeEach(async () => {
    api = await startScriptedApi();
  });

  afterEach(async () => {
    for (const { engine, remove } of opened.splice(0)) {
      await engine.close();
      await remove();
    }
    await api.close();
  });

  /** An engine with a state directory of its own. */
  async function open(): Promise<{ engine: Engine; persistence: Persistence }> {
    const access = { url: api.url, credentials: SCRIPTED_CREDENTIALS };
    const made = await openVercelEngine(access, { retryBaseMs: 1, pollMs: 5 });
    opened.push(made);
    const { persistence } = made.engine;
    if (persistence === undefined) throw new Error('the engine has no persistence');
    return { engine: made.engine, persistence };
  }

  const create = (engine: Engine, more: Partial<CreateSandbox> = {}) =>
    engine.create(createRequest(more), timeoutSignal());
  const sentBody = (): unknown => JSON.parse(api.requestsTo('POST', '/sandboxes')[0]?.body ?? '{}');

  it('is attached by id from another state directory, and released unchanged', async () => {
    const { sandboxId } = await create((await open()).engine);
    const { engine, persistence } = await open();
    expect(await persistence.adopt(sandboxId, timeoutSignal())).toMatchObject({
      sandboxId,
      status: 'running',
    });
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ sandboxId, region: 'iad1' });
    api.answers.push(({ method }) => (method === 'GET' ? NOT_FOUND : null));
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'aborted' });
    await persistence.release(sandboxId);
    await expect(engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
    expect(api.requestsTo('DELETE', sandboxId)).toEqual([]);
  });

  it('that does not exist is not found, and no request is sent for an invalid id', async () => {
    const { persistence } = await open();
    api.answers.push(() => NOT_FOUND);
    for (const id of [newSandboxId(), '../sbx'])
      await expect(persistence.adopt(id, timeoutSignal())).rejects.toMatchObject({ code: 'not_found' });
    expect(api.requests).toHaveLength(1);
  });

  it('is reported as restarted elsewhere, until it is resumed from here', async () => {
    const { engine } = await open();
    const { sandboxId, statusReason } = await create(engine);
    expect(statusReason).toBeNull();
    api.session = { id: 'ses_other' };
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({
      status: 'running',
      statusReason: expect.stringContaining('restarted elsewhere'),
    });
  });

  it('is created in the requested regions, or else in that of the project', async () => {
    const { engine } = await open();
    await create(engine, { regions: ['fra1', 'cdg1', 'dub1'] });
    expect(sentBody()).toMatchObject({
      region: 'fra1',
      failoverRegions: ['cdg1', 'dub1'],
      persistent: false,
    });
    await create(engine);
    expect(JSON.parse(api.requestsTo('POST', '/sandboxes')[1]?.body ?? '{}')).not.toHaveProperty('region');
  });

  it('with a name is persistent, resumed with its files, and can be used again', async () => {
    const { engine, persistence } = await open();
    const persistent = { name: 'work', keepSnapshots: 3 };
    api.answers.push(({ path, method }) => {
      if (path.endsWith('/stop')) api.session = { status: 'stopped', stoppedAt: Date.now() };
      return method === 'GET' || method === 'POST' ? null : NOT_FOUND;
    });
    const { sandboxId } = await create(engine, { persistent, keep: true });
    expect(sentBody()).toMatchObject({
      persistent: true,
      tags: { name: 'work' },
      keepLastSnapshots: { count: 3 },
      snapshotExpiration: 2_592_000_000,
    });
    api.persistent = true;
    await engine.stop(sandboxId, 'requested', timeoutSignal());
    expect(await engine.get(sandboxId, timeoutSignal())).toMatchObject({ status: 'stopped' });
    api.answers.unshift(({ query }) => {
      if (query.get('resume') === 'true') api.session = { id: 'ses_second' };
      return null;
    });
    expect(await persistence.resume(sandboxId, timeoutSignal())).toMatchObject({
      status: 'running',
      statusReason: null,
    });
    expect(await engine.files.mkDir(sandboxId, 'x', null, timeoutSignal()).catch(() => 'asked')).toBe(
      'asked',
    );
    expect(api.requestsTo('POST', '/ses_second/cmd')).toHaveLength(1);
  });

  it('without persistence is not resumed: it would be empty', async () => {
    const { engine, persistence } = await open();
    const { sandboxId } = await create(engine);
    api.session = { status: 'stopped', stoppedAt: Date.now() };
    expect(await persistence.resume(sandboxId, timeoutSignal())).toMatchObject({ status: 'stopped' });
    expect(api.requests.filter(({ query }) => query.get('resume') === 'true')).toEqual([]);
  });

  it('whose name is taken is not created, and the other one is unchanged', async () => {
    const { engine } = await open();
    api.answers.push(({ method }) =>
      method === 'POST'
        ? {
            status: 400,
            body: {
              error: {
                code: 'bad_request',
                message: "A sandbox with the name 'x' already exists for this project.",
              },
            },
          }
        : null,
    );
    const request = createRequest({ persistent: { name: 'work', keepSnapshots: null }, keep: true });
    await expect(engine.create(request, timeoutSignal())).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('"work"'),
      hint: expect.stringContaining(request.sandboxId),
    });
    expect(api.requests.filter(({ method }) => method !== 'POST')).toEqual([]);
  });
});
