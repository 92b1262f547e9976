import { describe, expect, it } from 'vitest';
import type { Sandbox } from '../../src/engines/engine.ts';
import { unknownSandbox } from '../../src/shared/id-errors.ts';
import { neverAborted, openWorld, plainRequest, rejection } from './support/registry.ts';

const NAMED = { ...plainRequest, name: 'work', keep: true };

/** A registry whose engine knows sandboxes of other machines and resumes stopped ones. */
function openPersistent(config: Parameters<typeof openWorld>[0] = {}) {
  const world = openWorld(config);
  const { engine } = world;
  const foreign = new Map<string, Sandbox>();
  const get = engine.get.bind(engine);
  const resumed: string[] = [];
  const released: string[] = [];
  /** Stopped, they stay stopped. */
  const ephemeral = new Set<string>();
  engine.get = async (id, signal) => foreign.get(id) ?? get(id, signal);
  engine.persistence = {
    async isResumable(id) {
      return !ephemeral.has(id);
    },
    async resume(id, signal) {
      resumed.push(id);
      const { stopCause: _, ...before } = await engine.get(id, signal);
      const running: Sandbox = {
        ...before,
        status: 'running',
        stopCause: null,
        expiresAt: before.createdAt + 1,
      };
      foreign.set(id, running);
      return running;
    },
    async adopt(id) {
      const sandbox = foreign.get(id);
      if (sandbox === undefined) throw unknownSandbox(id);
      return sandbox;
    },
    async release(id) {
      released.push(id);
    },
  };
  return { ...world, foreign, resumed, released, ephemeral };
}

describe('an engine without persistence and regions', () => {
  it.each<[string, object, RegExp]>([
    ['name', { name: 'work', keep: true }, /sandbox_snapshot keeps the files/],
    ['keep_snapshots', { keepSnapshots: 3 }, /snapshot_delete/],
    ['regions', { regions: ['fra1'] }, /without regions/],
  ])('refuses %s, with an alternative', async (argument, more, hint) => {
    const session = openWorld().registry.openSession('local');
    const error = await rejection(session.create({ ...plainRequest, ...more }, neverAborted));
    expect(error).toMatchObject({
      code: 'unsupported',
      details: { argument },
      hint: expect.stringMatching(hint),
    });
  });
});

describe('a named sandbox', () => {
  it('has the same id on every machine for the same owner', async () => {
    const first = await openPersistent().registry.openSession('local').create(NAMED, neverAborted);
    const second = await openPersistent().registry.openSession('local').create(NAMED, neverAborted);
    const other = await openPersistent().registry.openSession('ann').create(NAMED, neverAborted);
    expect(second.sandboxId).toBe(first.sandboxId);
    expect(other.sandboxId).not.toBe(first.sandboxId);
  });

  it('needs keep, and a count of snapshots needs a name', async () => {
    const session = openPersistent().registry.openSession('local');
    for (const [request, words] of [
      [{ ...NAMED, keep: false }, 'name "work" needs keep: true'],
      [{ ...plainRequest, keepSnapshots: 2 }, 'keep_snapshots 2 needs name'],
    ] as const) {
      const error = await rejection(session.create(request, neverAborted));
      expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(words) });
    }
  });

  it('is created once; a second create is told how to resume it', async () => {
    const { registry } = openPersistent();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(NAMED, neverAborted);
    expect(await rejection(session.create(NAMED, neverAborted))).toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('"work"'),
      hint: expect.stringContaining(`sandbox_get with sandbox_id ${sandboxId}`),
    });
    expect((await session.attach(sandboxId, neverAborted)).status).toBe('running');
  });

  it('is resumed by sandbox_get once it has stopped', async () => {
    const { registry, resumed } = openPersistent();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(NAMED, neverAborted);
    await (await session.sandbox(sandboxId)).stop(neverAborted);
    expect(await session.attach(sandboxId, neverAborted)).toMatchObject({ status: 'running', keep: true });
    expect(await session.attach(sandboxId, neverAborted)).toMatchObject({ status: 'running' });
    expect(resumed).toEqual([sandboxId]);
  });

  it('is selected as it is by a server that only reads', async () => {
    const { registry, resumed } = openPersistent();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(NAMED, neverAborted);
    await (await session.sandbox(sandboxId)).stop(neverAborted);
    const view = await session.attach(sandboxId, neverAborted, { resume: false });
    expect(view.status).toBe('stopped');
    expect((await (await session.sandbox(undefined)).view(neverAborted)).sandboxId).toBe(sandboxId);
    expect(resumed).toEqual([]);
  });

  it('is counted again when it is resumed, and not resumed where that is too many', async () => {
    const { registry, resumed } = openPersistent({ maxSandboxes: 1 });
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(NAMED, neverAborted);
    await (await session.sandbox(sandboxId)).stop(neverAborted);
    const other = await session.create(plainRequest, neverAborted);
    expect(await rejection(session.attach(sandboxId, neverAborted))).toMatchObject({
      code: 'limit_exceeded',
      details: { limit: 'max_sandboxes' },
    });
    expect(resumed).toEqual([]);
    await (await session.sandbox(other.sandboxId)).stop(neverAborted);
    expect((await session.attach(sandboxId, neverAborted)).status).toBe('running');
    expect((await rejection(session.create(plainRequest, neverAborted))).code).toBe('limit_exceeded');
  });

  it('that has stopped says in every refusal that it can be resumed', async () => {
    const session = openPersistent().registry.openSession('local');
    const { sandboxId } = await session.create(NAMED, neverAborted);
    const handle = await session.sandbox(sandboxId);
    await handle.stop(neverAborted);
    expect(await rejection(handle.requireRunning(neverAborted))).toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('sandbox_get, which starts a named sandbox again with its files'),
    });
  });

  it('is released after the retention, and not deleted', async () => {
    const { registry, engine, clock, released } = openPersistent();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(NAMED, neverAborted);
    await (await session.sandbox(sandboxId)).stop(neverAborted);
    // However old it is, the retention counts from its last stop.
    clock.advance(80_000_000);
    await session.attach(sandboxId, neverAborted);
    await (await session.sandbox(sandboxId)).stop(neverAborted);
    await session.end('shutdown');
    clock.advance(80_000_000);
    expect(await registry.recover(neverAborted)).toMatchObject({ forgotten: [] });
    clock.advance(10_000_000);
    expect(await registry.recover(neverAborted)).toMatchObject({ forgotten: [sandboxId] });
    expect(released).toEqual([sandboxId]);
    expect(engine.calls).not.toContain(`forget ${sandboxId}`);
  });
});

describe('a sandbox of another state directory', () => {
  const ID = 'sbx_abcdefghjkmn';

  it('is attached by sandbox_get, and left alone by the end of the session', async () => {
    const { registry, engine, foreign } = openPersistent();
    const made = await openWorld().registry.openSession('local').create(plainRequest, neverAborted);
    foreign.set(ID, { ...made, sandboxId: ID });
    const session = registry.openSession('local');
    expect((await rejection(session.sandbox(ID))).code).toBe('not_found');
    expect(await session.attach(ID, neverAborted)).toMatchObject({ sandboxId: ID, status: 'running' });
    const { sandboxes } = await session.info(neverAborted);
    expect(sandboxes).toMatchObject([{ sandboxId: ID, ownership: 'attached' }]);
    await session.end('shutdown');
    expect(engine.calls.filter((call) => call === `stop ${ID}`)).toEqual([]);
    // From now on it belongs to this principal here.
    expect((await rejection(registry.openSession('ann').attach(ID, neverAborted))).code).toBe('not_found');
  });

  it('that has stopped for good stays stopped, whatever the quotas', async () => {
    const { registry, foreign, resumed, ephemeral } = openPersistent({ maxSandboxes: 1 });
    const session = registry.openSession('local');
    const made = await session.create(plainRequest, neverAborted);
    ephemeral.add(ID);
    foreign.set(ID, { ...made, sandboxId: ID, status: 'stopped', stopCause: 'requested', expiresAt: null });
    expect(await session.attach(ID, neverAborted)).toMatchObject({ status: 'stopped' });
    expect(resumed).toEqual([]);
  });

  it('that does not exist is not found', async () => {
    const session = openPersistent().registry.openSession('local');
    expect((await rejection(session.attach(ID, neverAborted))).code).toBe('not_found');
  });
});
