import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RecordStore } from '../../src/registry/records/record-store.ts';
import { neverAborted, openWorld, plainRequest, rejection } from './support/registry.ts';

const recordFiles = (stateDir: string): string[] => {
  const folder = join(stateDir, 'records');
  return existsSync(folder) ? readdirSync(folder) : [];
};

describe('create', () => {
  it('returns the running sandbox with its defaults, and makes it current', async () => {
    const { registry, clock } = openWorld();
    const session = registry.openSession('local');
    const view = await session.create(plainRequest, neverAborted);
    expect(view).toMatchObject({
      status: 'running',
      keep: false,
      vcpus: 1,
      timeoutMs: 300_000,
      expiresAt: clock.now() + 300_000,
      networkPolicy: { mode: 'deny-all' },
    });
    expect((await session.sandbox(undefined)).sandboxId).toBe(view.sandboxId);
  });

  it('writes the intent to disk, private to the user, before the engine creates anything', async () => {
    const { registry, engine, stateDir } = openWorld();
    const held = engine.hold('create');
    const created = registry.openSession('local').create(plainRequest, neverAborted);
    await held.entered;
    const [name = ''] = recordFiles(stateDir);
    const path = join(stateDir, 'records', name);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ version: 1, state: 'creating' });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(stateDir, 'records')).mode & 0o777).toBe(0o700);
    held.release();
    const { sandboxId } = await created;
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ sandboxId, state: 'live' });
  });

  it('leaves nothing when the caller cancels', async () => {
    const { registry, engine, stateDir } = openWorld();
    const held = engine.hold('create');
    const caller = new AbortController();
    const created = rejection(registry.openSession('local').create(plainRequest, caller.signal));
    await held.entered;
    caller.abort();
    expect((await created).code).toBe('cancelled');
    expect(recordFiles(stateDir)).toEqual([]);
    expect((await engine.list()).items).toEqual([]);
  });

  it('removes the sandbox when its ownership cannot be recorded', async () => {
    const { registry, engine, stateDir } = openWorld();
    const held = engine.hold('create');
    const created = rejection(registry.openSession('local').create(plainRequest, neverAborted));
    await held.entered;
    rmSync(join(stateDir, 'records'), { recursive: true });
    writeFileSync(join(stateDir, 'records'), 'a file in place of the folder');
    held.release();
    const error = await created;
    expect(error.code).toBe('unavailable');
    expect(error.message).not.toContain(stateDir);
    expect((await engine.list()).items).toEqual([]);
  });

  it('creates nothing when the intent cannot be recorded', async () => {
    const { registry, engine, stateDir } = openWorld();
    writeFileSync(join(stateDir, 'records'), 'a file in place of the folder');
    const error = await rejection(registry.openSession('local').create(plainRequest, neverAborted));
    expect(error.code).toBe('unavailable');
    expect(error.message).not.toContain(stateDir);
    expect(engine.calls).toEqual([]);
  });

  it('records a sandbox of the stock as owned before the engine hands it over', async () => {
    const { registry, engine, stateDir } = openWorld();
    const stocked = 'sbx_22222222222a';
    engine.stock = { reserve: () => stocked, giveBack: () => {}, empty: async () => {} };
    const held = engine.hold('create');
    const created = registry.openSession('local').create(plainRequest, neverAborted);
    await held.entered;
    const record = readFileSync(join(stateDir, 'records', `${stocked}.json`), 'utf8');
    expect(JSON.parse(record)).toMatchObject({ sandboxId: stocked, state: 'creating' });
    held.release();
    expect((await created).sandboxId).toBe(stocked);
  });

  it('gives a sandbox of the stock back if the session may have no further one', async () => {
    const { registry, engine } = openWorld({ maxSandboxes: 1 });
    const session = registry.openSession('local');
    await session.create(plainRequest, neverAborted);
    const returned: string[] = [];
    engine.stock = {
      reserve: () => 'sbx_22222222222a',
      giveBack: (sandboxId) => returned.push(sandboxId),
      empty: async () => {},
    };
    expect((await rejection(session.create(plainRequest, neverAborted))).code).toBe('limit_exceeded');
    expect(returned).toEqual(['sbx_22222222222a']);
  });

  it('gives a sandbox of the stock back without the record that a failed write has left', async () => {
    const { registry, engine, stateDir } = openWorld();
    const stocked = 'sbx_22222222222a';
    const path = join(stateDir, 'records', `${stocked}.json`);
    const left: boolean[] = [];
    engine.stock = {
      reserve: () => stocked,
      giveBack: () => left.push(existsSync(path)),
      empty: async () => {},
    };
    const { write } = RecordStore.prototype;
    const written = vi.spyOn(RecordStore.prototype, 'write').mockImplementationOnce(async function (
      this: RecordStore<unknown>,
      record,
    ) {
      // As a flush of the directory that fails after the rename.
      await write.call(this, record);
      throw new Error('EIO');
    });
    onTestFinished(() => written.mockRestore());
    const created = registry.openSession('local').create(plainRequest, neverAborted);
    await expect(created).rejects.toThrow('EIO');
    expect(left).toEqual([false]);
    expect(engine.calls).toEqual([]);
  });

  it('empties the stock when the server ends, and leaves the rest to recovery if that takes too long', async () => {
    const { registry, engine, clock, finished } = openWorld();
    let emptied = 0;
    engine.stock = {
      reserve: () => null,
      giveBack: () => {},
      empty: () => {
        emptied += 1;
        return new Promise(() => {});
      },
    };
    const armed = clock.nextTimer();
    const closed = registry.close('shutdown');
    await armed;
    clock.advance(300);
    await closed;
    expect({ emptied, finished: finished() }).toEqual({ emptied: 1, finished: 1 });
  });

  it('opens the ports of a new sandbox', async () => {
    const { registry } = openWorld();
    const view = await registry.openSession('local').create({ ...plainRequest, ports: [3000] }, neverAborted);
    expect(view.ports).toEqual([{ port: 3000, url: 'http://127.0.0.1:3000' }]);
  });

  it('caps the default lifetime at the maximum of the operator', async () => {
    const { registry } = openWorld({ maxLifetimeMs: 60_000 });
    const view = await registry.openSession('local').create(plainRequest, neverAborted);
    expect(view.timeoutMs).toBe(60_000);
  });

  it.each([
    [{ timeoutMs: 90_000_000 }, 'limit_exceeded', '86400000'],
    [{ timeoutMs: 0 }, 'invalid_argument', 'timeout_ms is 0'],
    [{ vcpus: 5 }, 'invalid_argument', '1 to 4'],
    [{ vcpus: 1.5 }, 'invalid_argument', '1.5'],
    [{ networkPolicy: { mode: 'allow-all' as const } }, 'unsupported', 'deny-all'],
    [{ networkPolicy: { mode: 'deny-all' as const, allow: ['a.example'] } }, 'invalid_argument', '.allow'],
    [
      { networkPolicy: { mode: 'allow-all' as const, subnets: { deny: ['10.0.0.0/8'] } } },
      'invalid_argument',
      '.subnets.deny',
    ],
    [
      { networkPolicy: { mode: 'deny-all' as const, rules: [{ domain: 'a.example' }] } },
      'invalid_argument',
      '.rules',
    ],
    [{ source: { type: 'tarball' as const, url: 'https://example.com/a.tgz' } }, 'unsupported', 'tarball'],
    [{ interactive: true }, 'unsupported', 'interactive port'],
    [{ volumes: [{ name: 'npm', path: '/data', readOnly: false }] }, 'unsupported', 'has no named volumes'],
  ])('rejects %j with %s before anything is recorded', async (part, code, words) => {
    const { registry, engine, stateDir } = openWorld();
    const session = registry.openSession('local');
    const error = await rejection(session.create({ ...plainRequest, ...part }, neverAborted));
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
    expect(error.hint).not.toBe('');
    expect(recordFiles(stateDir)).toEqual([]);
    expect(engine.calls).toEqual([]);
  });
});
