import { describe, expect, it } from 'vitest';
import { neverAborted, openWorld, plainRequest, rejection, sleep } from './support/registry.ts';

describe('the end of a session', () => {
  it('stops what it owns except kept sandboxes, and tells their commands why', async () => {
    const { registry, engine, finished } = openWorld();
    const session = registry.openSession('local');
    const kept = await session.create({ ...plainRequest, keep: true }, neverAborted);
    const detached = await (await session.sandbox(undefined)).run(sleep, neverAborted);
    const plain = await session.create(plainRequest, neverAborted);
    const command = await (await session.sandbox(undefined)).run(sleep, neverAborted);
    await session.end('stdin_closed');
    const ended = await engine.get(plain.sandboxId, neverAborted);
    expect(ended).toMatchObject({ status: 'stopped', stopCause: 'session_end' });
    expect(finished()).toBe(0);
    expect((await engine.commands.get(command.commandId)).endedBy).toBe('session_end');
    expect((await engine.get(kept.sandboxId, neverAborted)).status).toBe('running');
    expect((await engine.commands.get(detached.commandId)).status).toBe('running');
  });

  it('leaves everything until its deadline when the operator sets keep', async () => {
    const { registry, engine, restart } = openWorld({ onDisconnect: 'keep' });
    const session = registry.openSession('local');
    const { sandboxId, keep } = await session.create(plainRequest, neverAborted);
    expect(keep).toBe(true);
    await session.end('stdin_closed');
    expect((await restart().recover(neverAborted)).stopped).toEqual([]);
    expect((await engine.get(sandboxId, neverAborted)).status).toBe('running');
  });

  it('leaves an attached sandbox alone, except for the commands it waits for', async () => {
    const { registry, engine } = openWorld();
    const owner = registry.openSession('local');
    const { sandboxId } = await owner.create(plainRequest, neverAborted);
    const theirs = await (await owner.sandbox(undefined)).run(sleep, neverAborted);
    const guest = registry.openSession('local');
    await guest.attach(sandboxId, neverAborted);
    const sandbox = await guest.sandbox(undefined);
    const detached = await sandbox.run(sleep, neverAborted);
    const handedOff = await sandbox.run(sleep, neverAborted);
    handedOff.addWaiter()();
    const awaited = await sandbox.run(sleep, neverAborted);
    awaited.addWaiter();
    (await guest.command(theirs.commandId)).addWaiter();
    await guest.end('shutdown');
    expect((await engine.get(sandboxId, neverAborted)).status).toBe('running');
    expect((await engine.commands.get(awaited.commandId)).endedBy).toBe('session_end');
    for (const { commandId } of [theirs, detached, handedOff]) {
      expect((await engine.commands.get(commandId)).status).toBe('running');
    }
  });

  it('aborts creates in progress and leaves nothing of them', async () => {
    const { registry, engine } = openWorld();
    const held = engine.hold('create');
    const session = registry.openSession('local');
    const created = rejection(session.create(plainRequest, neverAborted));
    await held.entered;
    await session.end('signal');
    expect((await created).code).toBe('cancelled');
    expect((await engine.list()).items).toEqual([]);
  });

  it('does not wait for an engine that hangs, and leaves the rest to recovery', async () => {
    const { registry, engine, clock, log, finished } = openWorld();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    const started = clock.now();
    const held = engine.hold('stop');
    const ended = session.end('signal');
    await held.entered;
    clock.advance(1_400);
    await ended;
    expect(clock.now() - started).toBeLessThanOrEqual(1_500);
    expect(log.lines.join('')).toContain('leaving them to recovery');
    expect(finished()).toBe(1);
    held.release();
    expect((await registry.recover(neverAborted)).stopped).toEqual([sandboxId]);
  });

  it('leaves what a cancelled create has not yet removed to a recovery that outlives the process', async () => {
    const { registry, engine, clock, finished } = openWorld();
    const session = registry.openSession('local');
    const creating = engine.hold('create');
    const forgetting = engine.hold('forget');
    const created = rejection(session.create(plainRequest, neverAborted));
    await creating.entered;
    const ended = session.end('signal');
    await forgetting.entered;
    clock.advance(1_400);
    await ended;
    expect(finished()).toBe(1);
    forgetting.release();
    expect((await created).code).toBe('cancelled');
  });

  it('leaves a sandbox that cannot be stopped to recovery while the process lives on', async () => {
    const { registry, engine } = openWorld();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    engine.fail('stop', sandboxId, new Error('busy'));
    await session.end('shutdown');
    engine.fail('stop', sandboxId, null);
    expect((await registry.recover(neverAborted)).stopped).toEqual([sandboxId]);
  });

  it('happens once, and nothing starts after it', async () => {
    const { registry, engine } = openWorld();
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    await Promise.all([session.end('signal'), session.end('stdin_closed'), registry.close('shutdown')]);
    expect(engine.calls.filter((call) => call.startsWith('stop'))).toHaveLength(1);
    for (const late of [session.create(plainRequest, neverAborted), session.sandbox(undefined)]) {
      expect((await rejection(late)).message).toContain('has ended');
    }
    expect((await rejection(sandbox.run(sleep, neverAborted))).message).toContain('has ended');
  });

  it('reaches all sessions when the registry closes, then the engine', async () => {
    const { registry, engine } = openWorld();
    for (const principal of ['ann', 'bob']) {
      await registry.openSession(principal).create(plainRequest, neverAborted);
    }
    await registry.close('shutdown');
    expect((await engine.list()).items.map(({ status }) => status)).toEqual(['stopped', 'stopped']);
    expect(engine.calls.at(-1)).toBe('close');
    expect(() => registry.openSession('ann')).toThrow('shutting down');
  });
});
