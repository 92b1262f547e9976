import { describe, expect, it, vi } from 'vitest';
import { neverAborted, openWorld, plainRequest, rejection, sleep } from './support/registry.ts';

describe('limits', () => {
  it('holds the sandbox limit against concurrent creates', async () => {
    const { registry, engine } = openWorld({ maxSandboxes: 2 });
    const session = registry.openSession('local');
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, () => session.create(plainRequest, neverAborted)),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect((await engine.list()).items).toHaveLength(2);
    const error = await rejection(session.create(plainRequest, neverAborted));
    expect(error).toMatchObject({ code: 'limit_exceeded', details: { limit: 'max_sandboxes', max: 2 } });
    expect(error.hint).toContain('sandbox_stop');
  });

  it('counts the vcpus of all sandboxes', async () => {
    const { registry } = openWorld({ maxVcpus: 5 });
    const session = registry.openSession('local');
    await session.create({ ...plainRequest, vcpus: 4 }, neverAborted);
    const error = await rejection(session.create({ ...plainRequest, vcpus: 2 }, neverAborted));
    expect(error).toMatchObject({ code: 'limit_exceeded', details: { limit: 'max_vcpus', used: 4 } });
    await session.create({ ...plainRequest, vcpus: 1 }, neverAborted);
  });

  it('counts a principal across its sessions, and each principal separately', async () => {
    const { registry } = openWorld({ maxSandboxes: 1 });
    await registry.openSession('ann').create(plainRequest, neverAborted);
    const error = await rejection(registry.openSession('ann').create(plainRequest, neverAborted));
    expect(error.code).toBe('limit_exceeded');
    await registry.openSession('bob').create(plainRequest, neverAborted);
  });

  it('counts a kept sandbox whose session has ended', async () => {
    const { registry } = openWorld({ maxSandboxes: 1 });
    const first = registry.openSession('ann');
    await first.create({ ...plainRequest, keep: true }, neverAborted);
    await first.end('shutdown');
    const error = await rejection(registry.openSession('ann').create(plainRequest, neverAborted));
    expect(error.code).toBe('limit_exceeded');
  });

  it('frees a slot when a sandbox is stopped, expires, or could not be created', async () => {
    const { registry, engine, clock } = openWorld({ maxSandboxes: 1 });
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    await (await session.sandbox(undefined)).stop(neverAborted);
    await session.create(plainRequest, neverAborted);
    clock.advance(300_000);
    const held = engine.hold('create');
    const caller = new AbortController();
    const cancelled = rejection(session.create(plainRequest, caller.signal));
    await held.entered;
    caller.abort();
    await cancelled;
    held.release();
    await session.create(plainRequest, neverAborted);
  });

  it('limits the running commands of a principal, and frees their slots', async () => {
    const { registry, engine } = openWorld({ maxRunningCommands: 2 });
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    const first = await sandbox.run(sleep, neverAborted);
    await sandbox.run(sleep, neverAborted);
    const error = await rejection(sandbox.run(sleep, neverAborted));
    expect(error).toMatchObject({ code: 'limit_exceeded', details: { limit: 'max_running_commands' } });
    engine.commands.finish(first.commandId);
    await vi.waitFor(() => sandbox.run(sleep, neverAborted), { timeout: 20_000 });
  });

  it('extends up to the maximum lifetime and reports what remains', async () => {
    const { registry } = openWorld({ maxLifetimeMs: 600_000 });
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    const error = await rejection(sandbox.extendTimeout(300_001, neverAborted));
    expect(error.code).toBe('limit_exceeded');
    expect(error.message).toContain('600000');
    expect(error.hint).toContain('300000');
    expect((await sandbox.extendTimeout(300_000, neverAborted)).timeoutMs).toBe(600_000);
    expect((await rejection(sandbox.extendTimeout(1, neverAborted))).hint).toContain('sandbox_create');
    expect((await rejection(sandbox.extendTimeout(-5, neverAborted))).code).toBe('invalid_argument');
  });

  it('holds the maximum lifetime against concurrent extensions', async () => {
    const { registry } = openWorld({ maxLifetimeMs: 600_000 });
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    await Promise.allSettled([1, 2, 3, 4].map(() => sandbox.extendTimeout(200_000, neverAborted)));
    expect((await sandbox.view(neverAborted)).timeoutMs).toBe(500_000);
  });
});
