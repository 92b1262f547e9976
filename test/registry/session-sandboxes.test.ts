import { describe, expect, it } from 'vitest';
import { neverAborted, openWorld, plainRequest } from './support/registry.ts';

const REMEMBERED = 20;

/** A session that created and stopped this many sandboxes; their ids, oldest first. */
async function afterMany(count: number) {
  const world = openWorld();
  const session = world.registry.openSession('local');
  const kept = await session.create(plainRequest, neverAborted);
  const ids: string[] = [];
  for (let made = 0; made < count; made++) {
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    await (await session.sandbox(sandboxId)).stop(neverAborted);
    ids.push(sandboxId);
  }
  return { world, session, ids, living: kept.sandboxId };
}

/** The sandboxes that a report about the session asks the engine for. */
async function reported({ world, session }: Awaited<ReturnType<typeof afterMany>>): Promise<string[]> {
  const requested: string[] = [];
  const get = world.engine.get.bind(world.engine);
  world.engine.get = (sandboxId, signal) => {
    requested.push(sandboxId);
    return get(sandboxId, signal);
  };
  await session.info(neverAborted);
  world.engine.get = get;
  return requested;
}

describe('a session that goes on for long', () => {
  it('remembers what lives, the current sandbox, and the last that ended', async () => {
    const many = await afterMany(40);
    const { session, ids, living } = many;
    await expect.poll(async () => (await reported(many)).length).toBeLessThanOrEqual(REMEMBERED + 2);
    expect(await reported(many)).toContain(living);
    expect(await reported(many)).toContain(ids.at(-1));
    expect((await session.info(neverAborted)).sandboxes).toMatchObject([
      { sandboxId: living, ownership: 'owned', status: 'running' },
      { sandboxId: ids.at(-1), status: 'stopped' },
    ]);
    expect(session.created).toBe(41);
  });

  it('can still get what it has forgotten, and knows that it created it', async () => {
    const many = await afterMany(40);
    const { session, ids } = many;
    const [oldest = ''] = ids;
    await expect.poll(() => reported(many)).not.toContain(oldest);
    expect(await session.owns(oldest)).toBe(true);
    expect(await session.attach(oldest, neverAborted)).toMatchObject({ status: 'stopped' });
    expect((await session.info(neverAborted)).sandboxes).toContainEqual(
      expect.objectContaining({ sandboxId: oldest, ownership: 'owned' }),
    );
  });

  it('forgets at once what is past its retention', async () => {
    const many = await afterMany(REMEMBERED);
    const { world, session, ids } = many;
    world.clock.advance(365 * 86_400_000);
    await world.registry.recover(neverAborted);
    await session.create(plainRequest, neverAborted);
    await expect
      .poll(async () => (await reported(many)).filter((id) => ids.includes(id)).length)
      .toBeLessThanOrEqual(1);
  });
});
