/**
 * Named sandboxes through the built server: their files outlive sessions, deadlines and the machine they were
 * made on.
 */
import { Snapshot } from '@vercel/sandbox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startVercelApi, type VercelApi } from '../../fakes/vercel/index.ts';
import { fetchFrom } from '../../fakes/vercel/sdk-fetch.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { serverEnvironment, vercelArguments } from './support/vercel-engines.ts';

const RULES = [
  { domain: 'a.example', match: { path: '/in', query: { q: {} } }, forward_url: 'https://proxy.example/p' },
  { domain: 'a.example', response: { status: 403, body: 'no', content_type: 'text/plain' } },
];

describe('a named sandbox', () => {
  let api: VercelApi;
  /** Each with a state directory of its own. */
  let first: RunningServer;
  let second: RunningServer;

  beforeAll(async () => {
    api = await startVercelApi();
    const serve = () => startServer({ args: vercelArguments(api), env: serverEnvironment(api) });
    [first, second] = await Promise.all([serve(), serve()]);
  });

  afterAll(async () => {
    await Promise.all([first.close(), second.close()]);
    await api.close();
    expect(api.violations).toEqual([]);
  });

  const create = async (name: string, more: object = {}): Promise<string> => {
    const { structured, text } = await first.call('sandbox_create', { name, keep: true, ...more });
    expect(structured, text).toMatchObject({ status: 'running', keep: true });
    return String(structured['sandbox_id']);
  };
  const write = (server: RunningServer, content: string) =>
    server.call('sandbox_write_files', { files: [{ path: 'note', content }] });
  const read = async (server: RunningServer) =>
    (await server.call('sandbox_read_file', { path: 'note' })).structured['content'];
  const get = (server: RunningServer, sandbox_id: string) => server.call('sandbox_get', { sandbox_id });
  const stop = (server: RunningServer) => server.call('sandbox_stop', { blocking: true });

  it('is resumed with its files, also with another state directory, and says so', async () => {
    const regions = ['fra1', 'cdg1'];
    const network_policy = { mode: 'custom', allow: ['a.example'], rules: RULES };
    const id = await create('work', { regions, network_policy, keep_snapshots: 2 });
    const requested = api.bodies.findLast(({ operation }) => operation === 'sandbox.create');
    expect(requested?.body).toMatchObject({ region: 'fra1', failoverRegions: ['cdg1'] });
    expect((await get(first, id)).structured).toMatchObject({ region: 'fra1', network_policy });
    await write(first, 'one');
    expect((await stop(first)).structured).toMatchObject({ status: 'stopped' });
    expect((await first.call('sandbox_run_command', { cmd: 'true' })).text).toMatch(
      /^Error \(conflict\): .*\nNext step: .*sandbox_get.*starts a named sandbox again/,
    );
    expect((await get(first, id)).structured).toMatchObject({ status: 'running', network_policy });
    expect(await read(first)).toBe('one');
    await write(first, 'two');

    const taken = await second.call('sandbox_create', { name: 'work', keep: true });
    expect(taken.text).toMatch(
      new RegExp(`^Error \\(conflict\\): .*"work".*\\nNext step: .*sandbox_get.*${id}`),
    );
    expect((await get(second, id)).structured).toMatchObject({ status: 'running', status_reason: null });
    const { structured } = await second.call('session_info');
    expect(structured['sandboxes']).toMatchObject([{ sandbox_id: id, ownership: 'attached' }]);
    expect(await read(second)).toBe('two');
    await stop(second);
    expect((await get(second, id)).structured).toMatchObject({ status: 'running' });
    expect(await read(second)).toBe('two');
    expect((await get(first, id)).structured).toMatchObject({
      status: 'running',
      status_reason: expect.stringContaining('restarted elsewhere'),
    });
    // It was attached there, not owned.
    await second.close();
    expect(await api.alive()).toEqual([id]);

    await stop(first);
    const access = { ...api.credentials, fetch: fetchFrom(api.url) };
    const { snapshots } = await Snapshot.list({ ...access, name: id });
    expect(snapshots.map(({ status }) => status).sort()).toEqual(['created', 'created', 'deleted']);
  });

  it('keeps its files when its timeout expires', async () => {
    const id = await create('brief');
    await write(first, 'kept');
    await api.passDeadline(id);
    expect((await first.call('sandbox_wait_for_status', { status: 'stopped' })).structured).toMatchObject({
      status: 'stopped',
      status_reason: 'its timeout expired',
    });
    expect((await get(first, id)).structured).toMatchObject({ status: 'running', status_reason: null });
    expect(await read(first)).toBe('kept');
    await stop(first);
  });
});
