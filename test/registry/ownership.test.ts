import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { neverAborted, openWorld, plainRequest, rejection, sleep } from './support/registry.ts';

const everything = { limit: 20, since: null, until: null, cursor: null };

describe('a session', () => {
  it('has no current sandbox at first, and says how to get one', async () => {
    const error = await rejection(openWorld().registry.openSession('local').sandbox(undefined));
    expect(error.code).toBe('not_found');
    expect(error.hint).toContain('sandbox_create');
  });

  it("reports another principal's sandbox and commands as not found", async () => {
    const { registry } = openWorld();
    const ann = registry.openSession('ann');
    const { sandboxId } = await ann.create(plainRequest, neverAborted);
    const command = await (await ann.sandbox(sandboxId)).run(sleep, neverAborted);
    const bob = registry.openSession('bob');
    const strange = await rejection(bob.sandbox(sandboxId));
    const unknown = await rejection(bob.sandbox('sbx_22222222abcd'));
    expect(strange.code).toBe('not_found');
    expect(strange.message.replace(sandboxId, '')).toBe(unknown.message.replace('sbx_22222222abcd', ''));
    expect((await rejection(bob.attach(sandboxId, neverAborted))).code).toBe('not_found');
    expect((await rejection(bob.command(command.commandId))).code).toBe('not_found');
    expect((await bob.list(everything, neverAborted)).items).toEqual([]);
  });

  it.each(['../../etc/passwd', 'sbx_', '', 'sbx_../../../abcd'])('finds no sandbox %j', async (id) => {
    const session = openWorld().registry.openSession('local');
    expect((await rejection(session.sandbox(id))).code).toBe('not_found');
    expect((await rejection(session.command(id))).code).toBe('not_found');
  });

  it('does not see a sandbox that has no record', async () => {
    const { registry, engine } = openWorld();
    const session = registry.openSession('local');
    const sandboxId = 'sbx_stranger2222';
    const { networkPolicy, ...rest } = plainRequest;
    const request = {
      ...rest,
      sandboxId,
      timeoutMs: 1000,
      vcpus: 1,
      networkPolicy: { mode: 'deny-all' as const },
    };
    await engine.create(request, neverAborted);
    expect(networkPolicy).toBeNull();
    expect((await session.list(everything, neverAborted)).items).toEqual([]);
    expect((await rejection(session.sandbox(sandboxId))).code).toBe('not_found');
  });

  it('attaches what another session of the principal created: current, attached, ports open', async () => {
    const { registry, restart } = openWorld();
    const made = await registry.openSession('local').create({ ...plainRequest, ports: [80] }, neverAborted);
    const session = restart().openSession('local');
    const view = await session.attach(made.sandboxId, neverAborted);
    expect(view.ports[0]?.url).toBe('http://127.0.0.1:80');
    expect((await session.sandbox(undefined)).sandboxId).toBe(made.sandboxId);
    expect((await session.info(neverAborted)).sandboxes).toMatchObject([{ ownership: 'attached' }]);
  });

  it('reports the state of a sandbox that is too busy to name its listening ports', async () => {
    const { registry, engine } = openWorld();
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    expect((await session.info(neverAborted)).sandboxes).toMatchObject([{ listening: [] }]);
    engine.hold('listeners');
    const { sandboxes } = await session.info(neverAborted);
    expect(sandboxes).toMatchObject([{ status: 'running', listening: null }]);
  });

  it('names the listening ports of an engine that takes longer', async () => {
    const { registry, engine } = openWorld();
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const { ports } = engine;
    engine.ports = { ...ports, listenersMs: 60_000 };
    const { entered, release } = engine.hold('listeners');
    const info = session.info(neverAborted);
    await entered;
    await delay(2 * ports.listenersMs);
    release();
    expect((await info).sandboxes).toMatchObject([{ listening: [] }]);
  });

  it('still reports the state of a sandbox whose ports cannot be opened', async () => {
    const { registry, engine, log } = openWorld();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create({ ...plainRequest, ports: [80] }, neverAborted);
    engine.fail('open', sandboxId, new Error('address in use'));
    expect((await session.attach(undefined, neverAborted)).status).toBe('running');
    expect(log.lines.join('')).toContain('address in use');
  });

  it('finds a command by its id only, from another session and after the end of its sandbox', async () => {
    const { registry } = openWorld();
    const first = registry.openSession('local');
    await first.create(plainRequest, neverAborted);
    const { commandId } = await (await first.sandbox(undefined)).run(sleep, neverAborted);
    await first.end('shutdown');
    const found = await registry.openSession('local').command(commandId);
    expect(await found.get(neverAborted)).toMatchObject({ status: 'finished', endedBy: 'session_end' });
  });

  it('lists newest first, in pages, within inclusive bounds', async () => {
    const { registry, clock } = openWorld();
    const session = registry.openSession('local');
    const made: { sandboxId: string; createdAt: number }[] = [];
    for (let index = 0; index < 5; index += 1) {
      made.unshift(await session.create(plainRequest, neverAborted));
      clock.advance(1000);
    }
    const ids = made.map(({ sandboxId }) => sandboxId);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await session.list({ ...everything, limit: 2, cursor }, neverAborted);
      seen.push(...page.items.map(({ sandboxId }) => sandboxId));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(ids);
    const [, second, , fourth] = made;
    const bounds = { since: fourth?.createdAt ?? 0, until: second?.createdAt ?? 0 };
    const between = await session.list({ ...everything, ...bounds }, neverAborted);
    expect(between.items.map(({ sandboxId }) => sandboxId)).toEqual(ids.slice(1, 4));
    const wrong = await rejection(session.list({ ...everything, cursor: '../x' }, neverAborted));
    expect(wrong.code).toBe('invalid_argument');
  });

  it('reports its live sandboxes, its running commands and the engine’s capabilities', async () => {
    const { registry, engine } = openWorld();
    const session = registry.openSession('local');
    const ended = await session.create(plainRequest, neverAborted);
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    const older = await sandbox.run(sleep, neverAborted);
    const newer = await sandbox.run(sleep, neverAborted);
    const done = await sandbox.run(sleep, neverAborted);
    engine.commands.finish(done.commandId);
    engine.endFromOutside(ended.sandboxId, 'aborted');
    const info = await session.info(neverAborted);
    expect(info).toMatchObject({ currentSandboxId: sandboxId, capabilities: ['ports'], engine: 'oci' });
    expect(info.sandboxes).toMatchObject([{ sandboxId, ownership: 'owned', keep: false }]);
    expect(info.commands.map(({ commandId }) => commandId)).toEqual([newer.commandId, older.commandId]);
  });
});

describe('a sandbox that has ended', () => {
  it('can still be read, and answers further work with the next step', async () => {
    const { registry, clock } = openWorld();
    const session = registry.openSession('local');
    const { sandboxId, createdAt } = await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    clock.advance(400_000);
    expect((await session.attach(sandboxId, neverAborted)).status).toBe('stopped');
    const error = await rejection(sandbox.run(sleep, neverAborted));
    expect(error.code).toBe('conflict');
    expect(error.message).toContain('its timeout expired');
    expect(error.message).toContain(new Date(createdAt + 300_000).toISOString());
    expect(error.hint).toMatch(/sandbox_create.*command_logs/);
    expect((await rejection(sandbox.extendTimeout(1000, neverAborted))).code).toBe('conflict');
  });

  it('may be stopped again', async () => {
    const { registry } = openWorld();
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const sandbox = await session.sandbox(undefined);
    expect(await sandbox.stop(neverAborted)).toMatchObject({ status: 'stopped', stopCause: 'requested' });
    expect((await sandbox.stop(neverAborted)).status).toBe('stopped');
  });
});
