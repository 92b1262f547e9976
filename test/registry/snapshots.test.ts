import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { WorkspaceChange, Workspaces } from '../../src/engines/engine.ts';
import type { Session } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { newSnapshotId } from '../../src/shared/ids.ts';
import { MemorySnapshots } from '../fakes/memory-snapshots.ts';
import { neverAborted, openWorld, plainRequest, rejection } from './support/registry.ts';

const everything = { limit: 100, since: null, until: null, cursor: null };
const HOUR = 3_600_000;

function open(config: Parameters<typeof openWorld>[0] = {}) {
  const world = openWorld(config);
  const snapshots = new MemorySnapshots(world.engine, () => world.clock.now());
  world.engine.snapshots = snapshots;
  return { ...world, snapshots };
}

async function take(session: Session) {
  await session.create(plainRequest, neverAborted);
  return (await session.sandbox(undefined)).snapshot(
    { expirationMs: null, keepRunning: false },
    neverAborted,
  );
}

describe('a snapshot', () => {
  it('belongs to the principal of its sandbox, in every session, and ends that sandbox', async () => {
    const { registry, restart } = open();
    const session = registry.openSession('ann');
    const snapshot = await take(session);
    expect(await (await session.sandbox(undefined)).view(neverAborted)).toMatchObject({
      stopCause: 'snapshot',
    });
    await session.end('shutdown');
    const later = restart().openSession('ann');
    expect(await later.snapshots.get(snapshot.snapshotId, neverAborted)).toEqual(snapshot);
    expect((await later.snapshots.list(everything, neverAborted)).items).toEqual([snapshot]);
  });

  it('of a sandbox that keeps running is refused if the engine has no copies, and harms nothing', async () => {
    const session = open().registry.openSession('ann');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    const error = await rejection(sandbox.snapshot({ expirationMs: null, keepRunning: true }, neverAborted));
    expect(error.code).toBe('unsupported');
    expect(error.hint).toContain('without keep_running');
    expect(await sandbox.view(neverAborted)).toMatchObject({ status: 'running' });
    expect((await session.snapshots.list(everything, neverAborted)).items).toEqual([]);
  });

  it('is hidden from another principal: not listed, not restored, not deleted', async () => {
    const { registry, engine } = open();
    const { snapshotId } = await take(registry.openSession('ann'));
    const stranger = registry.openSession('bob');
    expect((await stranger.snapshots.list(everything, neverAborted)).items).toEqual([]);
    const source = { type: 'snapshot' as const, snapshotId };
    for (const attempt of [
      () => stranger.snapshots.get(snapshotId, neverAborted),
      () => stranger.snapshots.delete(snapshotId, neverAborted),
      () => stranger.create({ ...plainRequest, source }, neverAborted),
    ]) {
      const error = await rejection(attempt());
      const never = newSnapshotId();
      const unknown = await rejection(stranger.snapshots.get(never, neverAborted));
      expect(error.code).toBe('not_found');
      const { code, hint, message } = unknown;
      expect(error).toMatchObject({ code, hint, message: message.replace(never, snapshotId) });
    }
    expect(engine.calls.filter((call) => call.startsWith('create'))).toHaveLength(1);
  });

  it('still has its owner when the server died before recording it', async () => {
    const { registry, snapshots, clock, restart } = open({ retentionMs: HOUR });
    const session = registry.openSession('ann');
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    const { snapshotId } = await snapshots.take(sandboxId, null);
    const second = restart();
    expect((await rejection(second.openSession('bob').snapshots.get(snapshotId, neverAborted))).code).toBe(
      'not_found',
    );
    clock.advance(2 * HOUR);
    await second.recover(neverAborted);
    clock.advance(2 * HOUR);
    await second.recover(neverAborted);
    const ann = second.openSession('ann');
    expect((await ann.snapshots.list(everything, neverAborted)).items).toMatchObject([{ snapshotId }]);
  });

  it('counts against a limit until it is deleted', async () => {
    const { registry } = open({ maxSnapshots: 2 });
    const session = registry.openSession('ann');
    const first = await take(session);
    await take(session);
    const error = await rejection(take(session));
    expect(error).toMatchObject({ code: 'limit_exceeded', details: { max: 2, used: 2 } });
    expect(error.hint).toContain('snapshot_delete');
    expect(await (await session.sandbox(undefined)).view(neverAborted)).toMatchObject({ status: 'running' });
    await take(registry.openSession('bob'));
    await session.snapshots.delete(first.snapshotId, neverAborted);
    await take(session);
  });

  it('leaves no record once it is deleted, whoever notices', async () => {
    const { registry, stateDir, snapshots, clock } = open();
    const session = registry.openSession('ann');
    const records = () => readdirSync(join(stateDir, 'records/snapshots'));
    const { snapshotId } = await take(session);
    await session.snapshots.delete(snapshotId, neverAborted);
    expect(records()).toEqual([]);
    await session.create(plainRequest, neverAborted);
    const expiring = await (await session.sandbox(undefined)).snapshot(
      { expirationMs: 86_400_000, keepRunning: false },
      neverAborted,
    );
    clock.advance(86_400_000);
    expect((await rejection(session.snapshots.get(expiring.snapshotId, neverAborted))).code).toBe(
      'not_found',
    );
    expect(records()).toEqual([]);
    const deleted = await take(session);
    await snapshots.delete(deleted.snapshotId);
    await registry.recover(neverAborted);
    expect(records().filter((name) => name.includes(deleted.snapshotId))).toEqual([]);
  });

  it('is listed in pages among those of others', async () => {
    const { registry } = open();
    const [ann, bob] = [registry.openSession('ann'), registry.openSession('bob')];
    const own: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      own.unshift((await take(ann)).snapshotId);
      await take(bob);
    }
    const first = await ann.snapshots.list({ ...everything, limit: 2 }, neverAborted);
    expect(first.items.map(({ snapshotId }) => snapshotId)).toEqual(own.slice(0, 2));
    const second = await ann.snapshots.list(
      { ...everything, limit: 2, cursor: first.nextCursor },
      neverAborted,
    );
    expect(second.items.map(({ snapshotId }) => snapshotId)).toEqual(own.slice(2));
  });

  it('is a runtime by its name, the newest of that name, for its principal alone', async () => {
    const { registry, clock, engine } = open();
    engine.sources = { types: ['tarball', 'snapshot'] };
    const [ann, bob] = [registry.openSession('ann'), registry.openSession('bob')];
    const named = async (session: Session) => {
      await session.create(plainRequest, neverAborted);
      const request = { expirationMs: 0, keepRunning: false, name: 'tools' };
      clock.advance(1_000);
      return (await session.sandbox(undefined)).snapshot(request, neverAborted);
    };
    const request = { ...plainRequest, runtime: 'tools' };
    const first = await named(ann);
    expect(await ann.create(request, neverAborted)).toMatchObject({ sourceSnapshotId: first.snapshotId });
    const second = await named(ann);
    expect(await ann.create(request, neverAborted)).toMatchObject({ sourceSnapshotId: second.snapshotId });
    expect((await ann.info(neverAborted)).runtimes.installed).toEqual(['tools', 'host']);
    expect((await bob.info(neverAborted)).runtimes.installed).toEqual(['host']);
    expect(await bob.create(request, neverAborted)).toMatchObject({
      runtime: 'tools',
      sourceSnapshotId: null,
    });

    const source = { type: 'tarball' as const, url: 'https://files.example/a.tgz' };
    const error = await rejection(ann.create({ ...request, source }, neverAborted));
    expect(error).toMatchObject({ code: 'invalid_argument', details: { snapshot_id: second.snapshotId } });
    await ann.snapshots.delete(second.snapshotId, neverAborted);
    expect(await ann.create(request, neverAborted)).toMatchObject({ sourceSnapshotId: first.snapshotId });
  });

  it('cannot take the name of a runtime', async () => {
    const session = open().registry.openSession('ann');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    const request = { expirationMs: 0, keepRunning: false, name: 'host' };
    expect((await rejection(sandbox.snapshot(request, neverAborted))).code).toBe('conflict');
    expect(await sandbox.view(neverAborted)).toMatchObject({ status: 'running' });
  });

  it('is rejected when the engine does not support snapshots', async () => {
    const session = openWorld().registry.openSession('ann');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    expect(
      (await rejection(sandbox.snapshot({ expirationMs: null, keepRunning: false }, neverAborted))).code,
    ).toBe('unsupported');
    expect((await rejection(session.snapshots.list(everything, neverAborted))).code).toBe('unsupported');
  });
});

describe('a snapshot of a sandbox with a workspace', () => {
  const changed = (path: string, refused: string | null = null): WorkspaceChange => ({
    path,
    status: 'added',
    from: null,
    before: null,
    after: { type: 'file', mode: 0o644, sizeBytes: 1, modifiedAt: 0 },
    refused,
  });

  async function openWithWorkspace(
    provision: 'overlay' | 'upload',
    changes: Workspaces['changes'],
    canCopy = true,
  ) {
    const { registry, engine, snapshots } = open();
    const get = engine.get.bind(engine);
    const workspace = {
      localPath: '/project',
      path: '/vercel/sandbox',
      mode: 'copy-on-write',
      provision,
    } as const;
    engine.get = async (...args) => ({ ...(await get(...args)), workspace });
    const never = () => Promise.reject(new Error('not called'));
    engine.workspaces = { changes, read: never, finishApply: never, apply: never };
    engine.snapshots = Object.assign(snapshots, { copy: never, canCopy: async () => canCopy });
    const session = registry.openSession('ann');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    const take = () => sandbox.snapshot({ expirationMs: null, keepRunning: false }, neverAborted);
    return { sandbox, take };
  }
  const found =
    (...changes: WorkspaceChange[]) =>
    () =>
      Promise.resolve({ localPath: '/project', path: '/vercel/sandbox', changes, ignored: 0, skipped: 0 });

  it('is refused while changes could still be applied, and harms nothing', async () => {
    const { sandbox, take } = await openWithWorkspace('overlay', found(changed('a'), changed('b')));
    const error = await rejection(take());
    expect(error).toMatchObject({ code: 'conflict', details: { unapplied: 2 } });
    expect(error.message).toContain('2 unapplied workspace changes');
    for (const way of ['sandbox_apply_changes', 'keep_running', 'sandbox_stop'])
      expect(error.hint).toContain(way);
    expect(await sandbox.view(neverAborted)).toMatchObject({ status: 'running' });
  });

  it('is taken without changes, and reports those that cannot be applied', async () => {
    const unchanged = await openWithWorkspace('overlay', found());
    expect(await unchanged.take()).toMatchObject({ workspace: { isCopied: false, lost: 0 } });
    const refused = await openWithWorkspace('overlay', found(changed('a', 'the host changed it')));
    expect(await refused.take()).toMatchObject({ workspace: { isCopied: false, lost: 1 } });
  });

  it('is refused if its changes cannot be compared', async () => {
    const replaced = () => Promise.reject(new SandboxError('conflict', 'The folder /project was replaced.'));
    const { sandbox, take } = await openWithWorkspace('overlay', replaced);
    const error = await rejection(take());
    expect(error).toMatchObject({ code: 'conflict', hint: expect.stringContaining('keep_running') });
    expect(error.message).toContain('was replaced');
    expect(await sandbox.view(neverAborted)).toMatchObject({ status: 'running' });
  });

  it('is taken where the sandbox cannot keep running, and reports what was not kept', async () => {
    const changes = found(changed('a'), changed('b'));
    expect(await (await openWithWorkspace('overlay', changes, false)).take()).toMatchObject({
      workspace: { lost: 2 },
    });
    const failing = () => Promise.reject(new SandboxError('limit_exceeded', 'Too many changes.'));
    expect(await (await openWithWorkspace('overlay', failing, false)).take()).toMatchObject({
      workspace: { lost: null },
    });
  });

  it('contains an uploaded one, whose changes can no longer be applied', async () => {
    const { take } = await openWithWorkspace('upload', found(changed('a')));
    expect(await take()).toMatchObject({ workspace: { isCopied: true, losesApply: true } });
  });
});
