import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sandboxRecords } from '../../src/registry/records/sandbox-record.ts';
import { neverAborted, openWorld } from './support/registry.ts';

const ID = 'sbx_aaaaaaaaaaaa';
const OLD = readFileSync(join(import.meta.dirname, 'fixtures/sandbox-record-0.1.0.json'), 'utf8');

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
});
