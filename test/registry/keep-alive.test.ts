import { describe, expect, it } from 'vitest';
import { SandboxError } from '../../src/shared/errors.ts';
import {
  type FakeClock,
  neverAborted,
  openWorld,
  plainRequest,
  sleep,
  type World,
} from './support/registry.ts';

/** Advances the clock until the lease has done its work and set its next timer. */
async function passUntilRenewed(clock: FakeClock, ms: number): Promise<void> {
  const armed = clock.nextTimer();
  clock.advance(ms);
  await armed;
}

async function atWork(world: World, timeoutMs: number): Promise<{ sandboxId: string; commandId: string }> {
  const session = world.registry.openSession('local');
  const { sandboxId } = await session.create({ ...plainRequest, timeoutMs }, neverAborted);
  const { commandId } = await (await session.sandbox(undefined)).run(sleep, neverAborted);
  return { sandboxId, commandId };
}

const extensions = (calls: string[]): number =>
  calls.filter((call) => call.startsWith('extendTimeout')).length;

describe('lease', () => {
  it('extends a busy sandbox by two minutes whenever one minute is left', async () => {
    const world = openWorld();
    const { engine, clock } = world;
    const { sandboxId } = await atWork(world, 300_000);
    clock.advance(239_000);
    expect(extensions(engine.calls)).toBe(0);
    await passUntilRenewed(clock, 1_000);
    expect((await engine.get(sandboxId, neverAborted)).expiresAt).toBe(clock.now() + 120_000);
    await passUntilRenewed(clock, 60_000);
    expect((await engine.get(sandboxId, neverAborted)).expiresAt).toBe(clock.now() + 120_000);
  });

  it('is held while a workspace is uploaded, after which the lifetime starts anew', async () => {
    const world = openWorld();
    const { engine, clock } = world;
    engine.upload = async () => {
      await passUntilRenewed(clock, 240_000);
      await passUntilRenewed(clock, 60_000);
      clock.advance(30_000);
    };
    const session = world.registry.openSession('local');
    const { sandboxId } = await session.create({ ...plainRequest, timeoutMs: 300_000 }, neverAborted);
    expect(await engine.get(sandboxId, neverAborted)).toMatchObject({
      status: 'running',
      expiresAt: clock.now() + 300_000,
    });
    expect(extensions(engine.calls)).toBe(3);
    clock.advance(299_000);
    expect(extensions(engine.calls)).toBe(3);
  });

  it('waits for the last fifth of a short lifetime', async () => {
    const world = openWorld();
    const { engine, clock } = world;
    const { sandboxId } = await atWork(world, 20_000);
    clock.advance(15_999);
    expect(extensions(engine.calls)).toBe(0);
    await passUntilRenewed(clock, 1);
    expect((await engine.get(sandboxId, neverAborted)).expiresAt).toBe(clock.now() + 120_000);
  });

  it('ends with the last command', async () => {
    const world = openWorld();
    const { engine, clock } = world;
    const { sandboxId, commandId } = await atWork(world, 300_000);
    const released = clock.idle();
    engine.commands.finish(commandId);
    await released;
    clock.advance(300_000);
    expect(extensions(engine.calls)).toBe(0);
    expect((await engine.get(sandboxId, neverAborted)).status).toBe('stopped');
  });

  it('never extends past the maximum lifetime', async () => {
    const world = openWorld({ maxLifetimeMs: 330_000 });
    const { engine, clock, log } = world;
    const { sandboxId, commandId } = await atWork(world, 300_000);
    const finished = engine.commands.wait(commandId, neverAborted);
    const extended = log.nextLine('reached the maximum lifetime');
    clock.advance(240_000);
    await extended;
    expect(await engine.get(sandboxId, neverAborted)).toMatchObject({ timeoutMs: 330_000 });
    expect(clock.timers).toBe(0);
    clock.advance(90_000);
    await engine.get(sandboxId, neverAborted);
    expect(await finished).toMatchObject({ endedBy: 'sandbox_stopped' });
  });

  it('accounts for an extension by another caller', async () => {
    const world = openWorld();
    const { engine, clock } = world;
    const { sandboxId } = await atWork(world, 300_000);
    await engine.extendTimeout(sandboxId, 600_000, neverAborted);
    await passUntilRenewed(clock, 240_000);
    expect(extensions(engine.calls)).toBe(1);
  });

  it('retries when an extension fails', async () => {
    const world = openWorld();
    const { engine, clock, log } = world;
    const { sandboxId } = await atWork(world, 300_000);
    engine.fail('extendTimeout', sandboxId, new SandboxError('unavailable', 'Not now.'));
    await passUntilRenewed(clock, 240_000);
    expect(log.lines.join('')).toContain('Not now.');
    engine.fail('extendTimeout', sandboxId, null);
    await passUntilRenewed(clock, 5_000);
    expect((await engine.get(sandboxId, neverAborted)).expiresAt).toBe(clock.now() + 120_000);
  });

  it('ends quietly with its sandbox', async () => {
    const world = openWorld();
    const { engine, clock, log } = world;
    const { sandboxId } = await atWork(world, 300_000);
    const released = clock.idle();
    engine.endFromOutside(sandboxId, 'out_of_memory');
    await released;
    expect(log.lines.join('')).not.toMatch(/"level":[45]0/);
  });
});
