/** Creating a sandbox takes longer than its caller waits. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RecordStore } from '../../src/registry/records/record-store.ts';
import type { Session } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { neverAborted, openWorld, plainRequest, rejection, sleep, type World } from './support/registry.ts';

const WAIT = { softTimeoutMs: 50_000 };

/** A session that got a pending sandbox, which `held` keeps pending. */
async function handedOff(world: World, request = plainRequest) {
  const session = world.registry.openSession('local');
  const held = world.engine.hold('create');
  const created = session.create(request, neverAborted, WAIT);
  await held.entered;
  world.clock.advance(WAIT.softTimeoutMs);
  const view = await created;
  return { session, held, view };
}

/**
 * The write of the next record in state `live` does not return until `release`, but the record is on disk at
 * `entered`.
 */
function holdAfterLiveRecord(): { entered: Promise<void>; release: () => void } {
  const write = RecordStore.prototype.write;
  let release = (): void => {};
  const opened = new Promise<void>((resolve) => {
    release = resolve;
  });
  const entered = new Promise<void>((resolve) => {
    const spy = vi.spyOn(RecordStore.prototype, 'write').mockImplementation(async function (
      this: RecordStore<unknown>,
      record,
    ) {
      await write.call(this, record);
      if (typeof record !== 'object' || record === null || !('state' in record) || record.state !== 'live')
        return;
      resolve();
      await opened;
    });
    onTestFinished(() => spy.mockRestore());
  });
  return { entered, release };
}

/** The sandbox once it is no longer pending. */
async function settled(session: Session, sandboxId: string) {
  return expect.poll(async () => (await (await session.sandbox(sandboxId)).view(neverAborted)).status);
}

describe('a create that runs longer than its soft timeout', () => {
  it('returns pending, is selected, and becomes running', async () => {
    const world = openWorld();
    const { session, held, view } = await handedOff(world);
    expect(view).toMatchObject({ status: 'pending', expiresAt: null, statusReason: null });
    const info = await session.info(neverAborted);
    expect(info.currentSandboxId).toBe(view.sandboxId);
    expect(info.sandboxes).toMatchObject([
      { sandboxId: view.sandboxId, status: 'pending', ownership: 'owned' },
    ]);
    const handle = await session.sandbox(undefined);
    const refused = await rejection(handle.run(sleep, neverAborted));
    expect(refused).toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('sandbox_wait_for_status'),
    });
    held.release();
    await (await settled(session, view.sandboxId)).toBe('running');
    await handle.run(sleep, neverAborted);
    await session.end('shutdown');
    expect(world.engine.calls).toContain(`stop ${view.sandboxId}`);
    expect(world.engine.calls).not.toContain(`forget ${view.sandboxId}`);
  });

  it.each([
    { keep: false, status: 'stopped', stopCause: 'session_end' },
    { keep: true, status: 'running', stopCause: null },
  ])(
    'is stopped and not forgotten if its session ends just after it shows as running (keep: $keep)',
    async ({ keep, status, stopCause }) => {
      const world = openWorld();
      const { session, held, view } = await handedOff(world, { ...plainRequest, keep });
      const written = holdAfterLiveRecord();
      held.release();
      await written.entered;
      const handle = await session.sandbox(view.sandboxId);
      expect(await handle.view(neverAborted)).toMatchObject({ status: 'running' });
      const ended = session.end('shutdown');
      written.release();
      await ended;
      expect(world.engine.calls).not.toContain(`forget ${view.sandboxId}`);
      const next = world.registry.openSession('local');
      expect(await next.attach(view.sandboxId, neverAborted)).toMatchObject({ status, stopCause });
      const record = JSON.parse(
        readFileSync(join(world.stateDir, 'records', `${view.sandboxId}.json`), 'utf8'),
      );
      expect(record).toMatchObject(keep ? { state: 'live', owner: null } : { state: 'ended' });
    },
  );

  it('does not replace a sandbox that was selected in the meantime', async () => {
    const world = openWorld();
    const { session, held, view } = await handedOff(world);
    held.release();
    await (await settled(session, view.sandboxId)).toBe('running');
    const second = await session.create(plainRequest, neverAborted);
    expect((await session.info(neverAborted)).currentSandboxId).toBe(second.sandboxId);
  });

  it('keeps the reason of a failure until its retention ends', async () => {
    const world = openWorld({ retentionMs: 1_000 });
    const session = world.registry.openSession('local');
    const held = world.engine.hold('create');
    const created = session.create(plainRequest, neverAborted, WAIT);
    await held.entered;
    world.clock.advance(WAIT.softTimeoutMs);
    const { sandboxId } = await created;
    world.engine.fail(
      'create',
      sandboxId,
      new SandboxError('not_found', 'No such repository.', { hint: 'Look.' }),
    );
    held.release();
    await (await settled(session, sandboxId)).toBe('failed');
    const failed = { status: 'failed', statusReason: 'No such repository. Look.' };
    expect(await session.attach(sandboxId, neverAborted)).toMatchObject(failed);
    expect(
      (await session.list({ limit: 5, since: null, until: null, cursor: null }, neverAborted)).items,
    ).toMatchObject([failed]);
    const handle = await session.sandbox(sandboxId);
    expect(await handle.stop(neverAborted)).toMatchObject(failed);
    expect((await rejection(handle.run(sleep, neverAborted))).message).toContain('No such repository.');
    expect((await world.engine.list()).items).toEqual([]);
    // It no longer counts, and need not be cleaned up manually.
    await session.create(plainRequest, neverAborted);
    world.clock.advance(1_001);
    await world.restart({ retentionMs: 1_000 }).recover(neverAborted);
    expect((await rejection(session.attach(sandboxId, neverAborted))).code).toBe('not_found');
  });

  it('shows the requested configuration of a failed one, without header values', async () => {
    const world = openWorld();
    const limits = await world.engine.limits();
    vi.spyOn(world.engine, 'limits').mockResolvedValue({ ...limits, networkModes: ['custom'] });
    const headers = { Authorization: `Bearer \${secret:TOKEN}`, 'X-Key': 'swordfish' };
    const { session, held, view } = await handedOff(world, {
      ...plainRequest,
      runtime: 'node22',
      vcpus: 2,
      timeoutMs: 77_000,
      networkPolicy: { mode: 'custom', rules: [{ domain: 'a.example', headers }] },
    });
    const requested = {
      runtime: 'node22',
      vcpus: 2,
      memoryMb: 2 * limits.memoryMbPerVcpu,
      timeoutMs: 77_000,
      networkPolicy: {
        mode: 'custom',
        rules: [{ domain: 'a.example', headers: { ...headers, 'X-Key': '***' } }],
      },
    };
    expect(view).toMatchObject({ ...requested, status: 'pending' });
    world.engine.fail('create', view.sandboxId, new SandboxError('unavailable', 'no'));
    held.release();
    await (await settled(session, view.sandboxId)).toBe('failed');
    expect(await session.attach(view.sandboxId, neverAborted)).toMatchObject(requested);
    const record = readFileSync(join(world.stateDir, 'records', `${view.sandboxId}.json`), 'utf8');
    expect(record).not.toContain('swordfish');
  });

  it('reports an internal error only by a reference to the log', async () => {
    const world = openWorld();
    const { session, held, view } = await handedOff(world);
    world.engine.fail('create', view.sandboxId, new Error('ENOENT /var/lib/x'));
    held.release();
    await (await settled(session, view.sandboxId)).toBe('failed');
    const { statusReason } = await session.attach(view.sandboxId, neverAborted);
    expect(statusReason).toBe('Unexpected error; see the server log.');
    // The log line follows the record.
    await expect.poll(() => world.log.lines.some((line) => line.includes('/var/lib/x'))).toBe(true);
  });

  it('ends with its session, kept or not', async () => {
    for (const keep of [false, true]) {
      const world = openWorld();
      const { session, view } = await handedOff(world, { ...plainRequest, keep });
      await session.end('shutdown');
      expect(world.engine.calls).toContain(`forget ${view.sandboxId}`);
      expect(readdirSync(join(world.stateDir, 'records')).filter((name) => name.startsWith('sbx_'))).toEqual(
        [],
      );
    }
  });

  it('is not undone by a cancellation after the answer', async () => {
    const world = openWorld();
    const session = world.registry.openSession('local');
    const held = world.engine.hold('create');
    const caller = new AbortController();
    const created = session.create(plainRequest, caller.signal, WAIT);
    await held.entered;
    world.clock.advance(WAIT.softTimeoutMs);
    const { sandboxId } = await created;
    caller.abort();
    held.release();
    await (await settled(session, sandboxId)).toBe('running');
  });

  it('counts against the limits', async () => {
    const world = openWorld({ maxSandboxes: 1 });
    const { session } = await handedOff(world);
    expect((await rejection(session.create(plainRequest, neverAborted))).code).toBe('limit_exceeded');
  });

  it('is removed by the next server when this one dies', async () => {
    const world = openWorld();
    const { view } = await handedOff(world);
    const path = join(world.stateDir, 'records', `${view.sandboxId}.json`);
    const { readFileSync, writeFileSync } = await import('node:fs');
    const record = JSON.parse(readFileSync(path, 'utf8'));
    record.owner.process.startTime = '1';
    writeFileSync(path, JSON.stringify(record));
    expect(await world.restart().recover(neverAborted)).toMatchObject({ forgotten: [view.sandboxId] });
    expect(existsSync(path)).toBe(false);
  });
});

describe('a create that finishes before its soft timeout', () => {
  it('throws its error, and leaves no timer', async () => {
    const world = openWorld();
    const session = world.registry.openSession('local');
    const held = world.engine.hold('create');
    const created = rejection(session.create(plainRequest, neverAborted, WAIT));
    await held.entered;
    const [id = ''] = readdirSync(join(world.stateDir, 'records')).map((name) => name.replace('.json', ''));
    world.engine.fail('create', id, new SandboxError('unavailable', 'no'));
    held.release();
    expect((await created).code).toBe('unavailable');
    expect(world.clock.timers).toBe(0);
    expect((await rejection(session.attach(id, neverAborted))).code).toBe('not_found');
  });
});
