/**
 * What the stand-in keeps of sandboxes and snapshots, as the SDK's own tests and those of the platform's mock
 * expect it of the platform. Nothing runs in these sandboxes.
 */
import { Sandbox, Snapshot } from '@vercel/sandbox';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startVercelApi, type VercelApi } from '../../../fakes/vercel/index.ts';
import { fetchFrom } from '../../../fakes/vercel/sdk-fetch.ts';

const DAY_MS = 86_400_000;
const REFUSED = { response: { status: 400 }, json: { error: { code: 'bad_request' } } };

describe('the stand-in', () => {
  let api: VercelApi;
  let access: { token: string; teamId: string; projectId: string; fetch: typeof globalThis.fetch };

  beforeAll(async () => {
    api = await startVercelApi('memory');
    access = { ...api.credentials, fetch: fetchFrom(api.url) };
  });

  afterAll(async () => {
    await api.close();
    expect(api.violations).toEqual([]);
  });

  const create = (params: Parameters<typeof Sandbox.create>[0] = {}) =>
    Sandbox.create({ ...access, persistent: false, ...params });
  const get = (name: string, resume = false) => Sandbox.get({ ...access, name, resume });
  const snapshotsOf = async (name: string) =>
    (await Snapshot.list({ ...access, name })).snapshots.map(({ id, status }) => ({ id, status }));

  it('runs sandboxes in the requested region, and fails over to others', async () => {
    expect(await create()).toMatchObject({ region: 'iad1', failoverRegions: [] });
    const given = await create({ region: 'sfo1', failoverRegions: ['iad1'] });
    expect(given).toMatchObject({ region: 'sfo1', failoverRegions: ['iad1'] });
    expect(given.currentSession().region).toBe('sfo1');
    await expect(create({ region: 'sfo1', failoverRegions: ['sfo1'] })).rejects.toMatchObject(REFUSED);
    // The caller did not choose the default region, and so cannot be blamed for naming it again.
    expect(await create({ failoverRegions: ['iad1', 'sfo1', 'sfo1'] })).toMatchObject({
      region: 'iad1',
      failoverRegions: ['sfo1'],
    });
  });

  it('moves sandboxes to other regions, but not to one that they fail over to', async () => {
    const sandbox = await create({ region: 'iad1', failoverRegions: ['sfo1'] });
    await sandbox.update({ region: 'cle1' });
    expect(sandbox).toMatchObject({ region: 'cle1', failoverRegions: ['sfo1'] });
    await expect(sandbox.update({ region: 'sfo1' })).rejects.toMatchObject(REFUSED);
    await expect(sandbox.update({ failoverRegions: ['cle1'] })).rejects.toMatchObject(REFUSED);
    await sandbox.update({ region: 'sfo1', failoverRegions: [] });
    expect(await get(sandbox.name)).toMatchObject({ region: 'sfo1', failoverRegions: [] });
  });

  it('changes the configuration of a sandbox', async () => {
    const sandbox = await create({
      timeout: 60_000,
      persistent: true,
      snapshotExpiration: 7 * DAY_MS,
      keepLastSnapshots: { count: 3 },
      resources: { vcpus: 1 },
    });
    expect(sandbox.keepLastSnapshots).toEqual({ count: 3, deleteEvicted: true });
    const { snapshot } = await sandbox.stop();
    if (snapshot === undefined) throw new Error('a persistent sandbox was stopped without a snapshot');
    await sandbox.update({
      timeout: 30_000,
      persistent: false,
      tags: { a: 'b' },
      snapshotExpiration: 2 * DAY_MS,
      keepLastSnapshots: { count: 5, expiration: 3 * DAY_MS, deleteEvicted: false },
      currentSnapshotId: snapshot.id,
    });
    expect(await get(sandbox.name)).toMatchObject({
      vcpus: 1,
      memory: 2_048,
      timeout: 30_000,
      persistent: false,
      tags: { a: 'b' },
      snapshotExpiration: 2 * DAY_MS,
      keepLastSnapshots: { count: 5, expiration: 3 * DAY_MS, deleteEvicted: false },
      currentSnapshotId: snapshot.id,
    });
    await sandbox.update({ keepLastSnapshots: null });
    expect((await get(sandbox.name)).keepLastSnapshots).toBeUndefined();
    await expect(sandbox.update({ currentSnapshotId: 'snap_none' })).rejects.toMatchObject({
      response: { status: 410 },
    });
    const tags = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, name]));
    await expect(sandbox.update({ tags })).rejects.toMatchObject(REFUSED);
  });

  it('lengthens the running session with the configured timeout', async () => {
    const sandbox = await create({ timeout: 60_000 });
    await sandbox.update({ timeout: 90_000 });
    const { timeout, sessionId } = (await get(sandbox.name)).currentSession();
    expect([timeout, sessionId]).toEqual([90_000, sandbox.currentSession().sessionId]);
  });

  it('keeps the files of a persistent sandbox when it is stopped, and starts it from them', async () => {
    const sandbox = await create({ name: 'kept', persistent: true, snapshotExpiration: DAY_MS });
    const { snapshot } = await sandbox.stop();
    expect(sandbox).toMatchObject({ status: 'stopped', currentSnapshotId: snapshot?.id });
    expect(snapshot?.expiresAt).toBe((snapshot?.createdAt ?? 0) + DAY_MS);
    expect((await get('kept')).status).toBe('stopped');
    const resumed = await get('kept', true);
    expect(resumed.status).toBe('running');
    expect(resumed.currentSession().sourceSnapshotId).toBe(snapshot?.id);
    expect((await resumed.listSessions()).sessions).toHaveLength(2);
    await resumed.delete();
  });

  it('keeps them at the deadline too, extensions included', async () => {
    const sandbox = await create({ name: 'short', persistent: true, timeout: 1_000 });
    await sandbox.extendTimeout(200);
    const { expiresAt } = sandbox;
    await expect.poll(async () => (await get('short')).status, { interval: 50 }).toBe('stopped');
    const ended = await get('short');
    const session = ended.currentSession();
    expect(session.stoppedAt?.getTime()).toBeGreaterThanOrEqual(expiresAt?.getTime() ?? Number.NaN);
    expect(session.requestedStopAt).toBeUndefined();
    expect(await snapshotsOf('short')).toEqual([{ id: ended.currentSnapshotId, status: 'created' }]);
    const resumed = await get('short', true);
    expect(resumed.currentSession().sourceSnapshotId).toBe(ended.currentSnapshotId);
    await resumed.delete();
  });

  it('deletes the snapshots that a retention does not keep, and lists them as deleted', async () => {
    const name = 'retained';
    const sandbox = await create({ name, persistent: true, keepLastSnapshots: { count: 2 } });
    const taken: string[] = [];
    for (let session = 0; session < 3; session += 1) {
      const current = session === 0 ? sandbox : await get(name, true);
      taken.unshift((await current.stop()).snapshot?.id ?? '');
    }
    const statuses = ['created', 'created', 'deleted'];
    const expected = taken.map((id, index) => ({ id, status: statuses[index] }));
    expect((await snapshotsOf(name)).toSorted(byPlaceIn(taken))).toEqual(expected);
    const snapshotId = taken[2] ?? '';
    expect((await Snapshot.get({ ...access, snapshotId })).status).toBe('deleted');
    await expect(create({ source: { type: 'snapshot', snapshotId } })).rejects.toMatchObject({
      response: { status: 410 },
      json: { error: { code: 'snapshot_not_found' } },
    });
  });

  it('deletes the snapshots of a deleted sandbox on request, except those that others started from', async () => {
    const name = 'parent';
    const sandbox = await create({ name, persistent: true });
    const first = (await sandbox.stop()).snapshot?.id ?? '';
    const child = await create({ source: { type: 'snapshot', snapshotId: first } });
    expect(child.sourceSnapshotId).toBe(first);
    const second = (await (await get(name, true)).stop()).snapshot?.id ?? '';
    await sandbox.delete({ deleteOrphanSnapshots: true });
    const status = async (snapshotId: string) => (await Snapshot.get({ ...access, snapshotId })).status;
    expect([await status(first), await status(second)]).toEqual(['created', 'deleted']);
  });

  it('keeps the runtime of what a snapshot was taken of', async () => {
    const source = await create({ runtime: 'node24' });
    const { snapshotId } = await source.snapshot();
    expect(await create({ source: { type: 'snapshot', snapshotId } })).toMatchObject({ runtime: 'node24' });
  });
});

function byPlaceIn(ids: readonly string[]) {
  return (a: { id: string }, b: { id: string }): number => ids.indexOf(a.id) - ids.indexOf(b.id);
}
