import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type OwnershipRecord, sandboxRecords } from '../../src/registry/records/sandbox-record.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { currentProcess, identify, type ProcessIdentity } from '../../src/shared/process-identity.ts';
import { neverAborted, openWorld, plainRequest, rejection, type World } from './support/registry.ts';

const HOUR = 3_600_000;
/** No process of this boot has started at this tick with the first pid. */
const DEAD = { pid: 1, startTime: '999999999999', bootId: currentProcess().bootId };

const pathOf = (stateDir: string, sandboxId: string): string =>
  join(stateDir, 'records', `${sandboxId}.json`);

/** What a server leaves that created a sandbox and died: the sandbox and its record. */
async function leftBehind(
  world: World,
  sandboxId: string,
  fields: Partial<OwnershipRecord> = {},
): Promise<OwnershipRecord> {
  const { engine, clock, stateDir } = world;
  const { networkPolicy: _, ...request } = plainRequest;
  const plan = {
    ...request,
    sandboxId,
    timeoutMs: 300_000,
    vcpus: 1,
    networkPolicy: { mode: 'deny-all' as const },
  };
  await engine.create(plan, neverAborted);
  const record: OwnershipRecord = {
    version: 1,
    sandboxId,
    engine: 'oci',
    principal: 'local',
    keep: false,
    vcpus: 1,
    createdAt: clock.now(),
    state: 'live',
    endedAt: null,
    owner: { sessionId: 'ses_dead', process: DEAD },
    ...fields,
  };
  mkdirSync(join(stateDir, 'records'), { recursive: true });
  writeFileSync(pathOf(stateDir, sandboxId), sandboxRecords.format(record));
  return record;
}

describe('a sandbox whose record the engine cannot read', () => {
  const damage = ({ engine }: World, damaged: string) => {
    const get = engine.get.bind(engine);
    engine.get = (sandboxId, signal) =>
      sandboxId === damaged
        ? Promise.reject(new SandboxError('server', `The record of ${sandboxId} is damaged.`))
        : get(sandboxId, signal);
  };

  it('hides no other, and reports what is wrong with it', async () => {
    const world = openWorld();
    const session = world.registry.openSession('local');
    const bad = await session.create(plainRequest, neverAborted);
    const good = await session.create(plainRequest, neverAborted);
    damage(world, bad.sandboxId);
    const query = { limit: 10, since: null, until: null, cursor: null };
    const { items } = await session.list(query, neverAborted);
    expect(Object.fromEntries(items.map(({ sandboxId, status }) => [sandboxId, status]))).toEqual({
      [bad.sandboxId]: 'failed',
      [good.sandboxId]: 'running',
    });
    const { sandboxes } = await session.info(neverAborted);
    expect(sandboxes.find(({ sandboxId }) => sandboxId === bad.sandboxId)?.statusReason).toContain('damaged');
    await session.end('stdin_closed');
  });

  it.each(['auth', 'rate_limit', 'timeout', 'unavailable'] as const)(
    'is not reported as failed when the engine itself fails: %s',
    async (code) => {
      const world = openWorld();
      const session = world.registry.openSession('local');
      await session.create(plainRequest, neverAborted);
      const { get } = world.engine;
      world.engine.get = () => Promise.reject(new SandboxError(code, 'Nothing can be asked at present.'));
      const query = { limit: 10, since: null, until: null, cursor: null };
      await expect(session.list(query, neverAborted)).rejects.toMatchObject({ code });
      world.engine.get = get;
      await session.end('stdin_closed');
    },
  );

  it('is removed once its owner is dead, and at the end of its session', async () => {
    const world = openWorld();
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    damage(world, 'sbx_aaaaaaaaaaaa');
    expect(await world.registry.recover(neverAborted)).toEqual({
      stopped: [],
      forgotten: ['sbx_aaaaaaaaaaaa'],
      failed: [],
    });
    expect((await world.engine.list()).items).toEqual([]);
  });

  it('is reported by id and reason when it cannot be removed', async () => {
    const world = openWorld();
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    damage(world, 'sbx_aaaaaaaaaaaa');
    world.engine.forget = () => Promise.reject(new Error('the disk is gone'));
    expect(await world.registry.recover(neverAborted)).toMatchObject({
      failed: [{ id: 'sbx_aaaaaaaaaaaa', reason: 'the disk is gone' }],
    });
  });
});

describe('recovery', () => {
  it('stops what a dead owner left behind, and keeps its record for the retention time', async () => {
    const world = openWorld({ retentionMs: HOUR });
    const { registry, engine, clock, stateDir } = world;
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    expect(await registry.recover(neverAborted)).toEqual({
      stopped: ['sbx_aaaaaaaaaaaa'],
      forgotten: [],
      failed: [],
    });
    const view = await registry.openSession('local').attach('sbx_aaaaaaaaaaaa', neverAborted);
    expect(view).toMatchObject({ status: 'stopped', stopCause: 'session_end' });
    expect(await registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
    clock.advance(HOUR);
    expect(await registry.recover(neverAborted)).toEqual({
      stopped: [],
      forgotten: ['sbx_aaaaaaaaaaaa'],
      failed: [],
    });
    expect((await engine.list()).items).toEqual([]);
    expect(readdirSync(join(stateDir, 'records'))).toEqual([]);
  });

  it('removes every trace of an interrupted create', async () => {
    const world = openWorld();
    await leftBehind(world, 'sbx_aaaaaaaaaaaa', { state: 'creating' });
    const recovered = await world.registry.recover(neverAborted);
    expect(recovered).toEqual({ stopped: [], forgotten: ['sbx_aaaaaaaaaaaa'], failed: [] });
    expect((await world.engine.list()).items).toEqual([]);
    expect(existsSync(pathOf(world.stateDir, 'sbx_aaaaaaaaaaaa'))).toBe(false);
  });

  it('leaves a kept sandbox until its deadline, and starts the retention there', async () => {
    const world = openWorld({ retentionMs: HOUR });
    const { registry, engine, clock } = world;
    await leftBehind(world, 'sbx_aaaaaaaaaaaa', { keep: true });
    expect(await registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
    expect((await engine.get('sbx_aaaaaaaaaaaa', neverAborted)).status).toBe('running');
    clock.advance(300_000 + HOUR - 1);
    expect(await registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
    clock.advance(1);
    expect((await registry.recover(neverAborted)).forgotten).toEqual(['sbx_aaaaaaaaaaaa']);
  });

  it('leaves the sandboxes of living owners and of other engines alone', async () => {
    const world = openWorld();
    const alive = { sessionId: 'ses_alive', process: currentProcess() };
    await leftBehind(world, 'sbx_aaaaaaaaaaaa', { owner: alive });
    await leftBehind(world, 'sbx_bbbbbbbbbbbb', { owner: alive, state: 'creating' });
    await leftBehind(world, 'sbx_cccccccccccc', { engine: 'vercel' });
    const before = readdirSync(join(world.stateDir, 'records')).map((name) =>
      readFileSync(join(world.stateDir, 'records', name), 'utf8'),
    );
    expect(await world.registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
    expect((await world.engine.list()).items.every(({ status }) => status === 'running')).toBe(true);
    const after = readdirSync(join(world.stateDir, 'records')).map((name) =>
      readFileSync(join(world.stateDir, 'records', name), 'utf8'),
    );
    expect(after).toEqual(before);
  });

  it('treats an owner from an earlier boot as dead', async () => {
    const world = openWorld();
    const process = { ...currentProcess(), bootId: 'another-boot' };
    await leftBehind(world, 'sbx_aaaaaaaaaaaa', { owner: { sessionId: 'ses_old', process } });
    expect((await world.registry.recover(neverAborted)).stopped).toEqual(['sbx_aaaaaaaaaaaa']);
  });

  it.each([
    ['corrupt', '{"version": 1, "sandboxId"'],
    ['of a newer format', JSON.stringify({ version: 2, anything: true })],
    ['of another sandbox', null],
  ])('reports a record that is %s, keeps it, and continues with the others', async (_, text) => {
    const world = openWorld();
    const { registry, stateDir, log } = world;
    const other = await leftBehind(world, 'sbx_bbbbbbbbbbbb');
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    const path = pathOf(stateDir, 'sbx_aaaaaaaaaaaa');
    const content = text ?? sandboxRecords.format(other);
    writeFileSync(path, content);
    expect((await registry.recover(neverAborted)).stopped).toEqual(['sbx_bbbbbbbbbbbb']);
    expect(readFileSync(path, 'utf8')).toBe(content);
    expect(log.lines.filter((line) => line.includes('"level":50') && line.includes(path))).toHaveLength(1);
    const session = registry.openSession('local');
    const error = await rejection(session.sandbox('sbx_aaaaaaaaaaaa'));
    expect(error.code).toBe('internal');
    expect(error.message + error.hint).not.toContain(stateDir);
    await session.create(plainRequest, neverAborted);
  });

  it('continues when one sandbox cannot be stopped, and retries it', async () => {
    const world = openWorld();
    const { registry, engine } = world;
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    await leftBehind(world, 'sbx_bbbbbbbbbbbb');
    engine.fail('stop', 'sbx_aaaaaaaaaaaa', new Error('busy'));
    expect((await registry.recover(neverAborted)).stopped).toEqual(['sbx_bbbbbbbbbbbb']);
    engine.fail('stop', 'sbx_aaaaaaaaaaaa', null);
    expect((await registry.recover(neverAborted)).stopped).toEqual(['sbx_aaaaaaaaaaaa']);
  });

  it('removes what interrupted writes left, but no write in progress', async () => {
    const world = openWorld();
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    const { pid, startTime } = currentProcess();
    const dead = `${pathOf(world.stateDir, 'sbx_bbbbbbbbbbbb')}.${DEAD.pid}-${DEAD.startTime}-0123456789ab.tmp`;
    const alive = `${pathOf(world.stateDir, 'sbx_cccccccccccc')}.${pid}-${startTime}-0123456789ab.tmp`;
    for (const path of [dead, alive]) writeFileSync(path, '{');
    await world.registry.recover(neverAborted);
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(alive)).toBe(true);
  });

  it('may run twice at the same time', async () => {
    const world = openWorld({ retentionMs: 0 });
    for (const letter of ['a', 'b', 'c', 'd', 'e', 'f']) await leftBehind(world, `sbx_${letter.repeat(12)}`);
    await Promise.all([world.registry.recover(neverAborted), world.restart().recover(neverAborted)]);
    expect((await world.engine.list()).items).toEqual([]);
    expect(readdirSync(join(world.stateDir, 'records'))).toEqual([]);
    expect(world.log.lines.join('')).not.toContain('"level":50');
  });

  it('marks a sandbox that the engine does not know as ended', async () => {
    const world = openWorld({ retentionMs: HOUR });
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    await world.engine.forget('sbx_aaaaaaaaaaaa', neverAborted);
    expect(await world.registry.recover(neverAborted)).toEqual({ stopped: [], forgotten: [], failed: [] });
    world.clock.advance(HOUR);
    expect((await world.registry.recover(neverAborted)).forgotten).toEqual(['sbx_aaaaaaaaaaaa']);
  });

  it('stops when it is cancelled', async () => {
    const world = openWorld();
    await leftBehind(world, 'sbx_aaaaaaaaaaaa');
    const caller = new AbortController();
    const held = world.engine.hold('stop');
    const recovered = rejection(world.registry.recover(caller.signal));
    await held.entered;
    caller.abort();
    expect((await recovered).code).toBe('cancelled');
  });
});

describe('a sandbox attached by another server', () => {
  const LIVING = living(process.ppid);

  it('is left to that server by recovery, although its first owner has died', async () => {
    const world = openWorld();
    const { sandboxId } = await leftBehind(world, 'sbx_taken2222222', { coOwners: [DEAD, LIVING] });
    expect((await world.registry.recover(neverAborted)).stopped).toEqual([]);
    expect((await world.engine.get(sandboxId, neverAborted)).status).toBe('running');
  });

  it('is stopped by recovery once all owners have died', async () => {
    const world = openWorld();
    const { sandboxId } = await leftBehind(world, 'sbx_taken2222222', { coOwners: [DEAD] });
    expect((await world.registry.recover(neverAborted)).stopped).toEqual([sandboxId]);
  });

  it('is left to that server when its first owner ends its session', async () => {
    const { registry, engine, stateDir } = openWorld();
    const session = registry.openSession('local');
    const { sandboxId } = await session.create(plainRequest, neverAborted);
    const record = sandboxRecords.parse(readFileSync(pathOf(stateDir, sandboxId), 'utf8'), sandboxId);
    writeFileSync(pathOf(stateDir, sandboxId), sandboxRecords.format({ ...record, coOwners: [LIVING] }));
    await session.end('signal');
    expect((await engine.get(sandboxId, neverAborted)).status).toBe('running');
    expect((await registry.recover(neverAborted)).stopped).toEqual([]);
  });
});

/** The identity of a running process. */
function living(pid: number): ProcessIdentity {
  const found = identify(pid);
  if (found === null) throw new Error(`no process ${pid}`);
  return found;
}
