import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { RecordStore } from '../../src/registry/records/record-store.ts';
import { sandboxRecords } from '../../src/registry/records/sandbox-record.ts';
import { snapshotRecords } from '../../src/registry/records/snapshot-record.ts';
import { createLogger } from '../../src/shared/log.ts';
import { LogLines, neverAborted, openWorld, plainRequest, temporaryFolder } from './support/registry.ts';
import { sleep } from './support/requests.ts';

const ID = 'sbx_aaaaaaaaaaaa';
const OLD = readFileSync(join(import.meta.dirname, 'fixtures/sandbox-record-0.1.0.json'), 'utf8');

describe('unfinished records', () => {
  it('are listed without reading those of ended sandboxes again', async () => {
    const directory = join(temporaryFolder(), 'records');
    const log = new LogLines();
    const store = new RecordStore(sandboxRecords, directory, createLogger('debug', log));
    const ended = sandboxRecords.parse(OLD, ID);
    const live = { ...ended, sandboxId: 'sbx_bbbbbbbbbbbb', state: 'live' as const, endedAt: null };
    const resumable = { ...ended, sandboxId: 'sbx_cccccccccccc', persistent: true as const };
    for (const record of [ended, live, resumable]) await store.write(record);
    const ids = async () => (await store.unfinished()).map(({ sandboxId }) => sandboxId).sort();
    expect(await ids()).toEqual([live.sandboxId, resumable.sandboxId]);
    writeFileSync(join(directory, `${ID}.json`), 'damaged');
    expect(await ids()).toEqual([live.sandboxId, resumable.sandboxId]);
    expect(log.lines).toEqual([]);
    // A live one that has ended is left out from then on.
    await store.update(live.sandboxId, () => ({ ...live, state: 'ended', endedAt: 1 }));
    expect(await ids()).toEqual([resumable.sandboxId]);
    // Removed ones are forgotten, also as ended ones.
    for (const { sandboxId } of [ended, live]) await store.remove(sandboxId);
    expect(await ids()).toEqual([resumable.sandboxId]);
  });
});

describe('a record written by version 0.1.0', () => {
  it('is read, with the requested config under its current name', () => {
    const record = sandboxRecords.parse(OLD, ID);
    expect(record.requested).toEqual({
      runtime: 'node22',
      memoryMb: 4096,
      timeoutMs: 600_000,
      ports: [3000],
      networkPolicy: {
        mode: 'custom',
        allow: ['example.com'],
        rules: [
          {
            domain: 'api.example.com',
            match: { methods: ['GET'], pathPrefix: '/v1/' },
            headers: { authorization: '***' },
          },
        ],
      },
      sourceSnapshotId: null,
    });
    expect(record).toMatchObject({ sandboxId: ID, keep: true, state: 'ended', vcpus: 2 });
    const written: unknown = JSON.parse(sandboxRecords.format(record));
    expect(written).toHaveProperty('requested');
    expect(written).not.toHaveProperty('asked');
  });

  it('is listed', async () => {
    const { registry, stateDir } = openWorld();
    mkdirSync(join(stateDir, 'records'), { recursive: true });
    writeFileSync(join(stateDir, 'records', `${ID}.json`), OLD);
    const session = registry.openSession('local');
    const { items } = await session.list({ limit: 10, since: null, until: null, cursor: null }, neverAborted);
    expect(items).toMatchObject([{ sandboxId: ID, status: 'failed', runtime: 'node22', memoryMb: 4096 }]);
  });

  it('of a running sandbox is listed, got, worked in and stopped', async () => {
    const { registry, restart, stateDir } = openWorld();
    const creator = registry.openSession('local');
    const { sandboxId } = await creator.create({ ...plainRequest, keep: true }, neverAborted);
    await creator.end('stdin_closed');
    const file = join(stateDir, 'records', `${sandboxId}.json`);
    const { requested, ...record } = z
      .record(z.string(), z.unknown())
      .parse(JSON.parse(readFileSync(file, 'utf8')));
    writeFileSync(file, JSON.stringify({ ...record, asked: requested }));

    const session = restart().openSession('local');
    const query = { limit: 10, since: null, until: null, cursor: null };
    expect((await session.list(query, neverAborted)).items).toMatchObject([{ sandboxId, status: 'running' }]);
    expect((await session.attach(sandboxId, neverAborted)).status).toBe('running');
    const sandbox = await session.sandbox(undefined);
    const command = await sandbox.run(sleep, neverAborted);
    expect((await session.command(command.commandId)).commandId).toBe(command.commandId);
    expect((await sandbox.stop(neverAborted)).status).toBe('stopped');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toHaveProperty('requested');
  });

  it('of a snapshot is read', () => {
    const old = {
      version: 1,
      snapshotId: 'snap_aaaaaaaaaaaa',
      engine: 'oci',
      principal: 'local',
      sourceSandboxId: ID,
      createdAt: 1_764_444_000_000,
    };
    expect(snapshotRecords.parse(JSON.stringify(old), old.snapshotId)).toEqual(old);
  });
});

describe('a damaged ownership record', () => {
  it('stays with its sandbox until it is to be removed, even if in use', async () => {
    const { registry, engine, stateDir } = openWorld();
    const session = registry.openSession('local');
    const torn = await session.create(plainRequest, neverAborted);
    const newer = await session.create(plainRequest, neverAborted);
    const pathOf = (sandboxId: string) => join(stateDir, 'records', `${sandboxId}.json`);
    writeFileSync(pathOf(torn.sandboxId), '{ torn');
    writeFileSync(pathOf(newer.sandboxId), '{"version":1000}');
    expect(await registry.recover(neverAborted)).toMatchObject({ stopped: [], forgotten: [] });
    // What a newer version has written is not damaged.
    expect(await registry.recover(neverAborted, { includeDamaged: true })).toEqual({
      stopped: [],
      forgotten: [torn.sandboxId],
      failed: [],
    });
    expect((await engine.list()).items.map(({ sandboxId }) => sandboxId)).toEqual([newer.sandboxId]);
    expect(existsSync(pathOf(torn.sandboxId))).toBe(false);
    await session.end('stdin_closed');
  });
});
