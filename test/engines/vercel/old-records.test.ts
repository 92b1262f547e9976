/** Records of sandboxes in the cloud that version 0.1.0 wrote stay readable. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRecord, updateRecord } from '../../../src/engines/vercel/state/sandbox-record.ts';
import { VercelLayout } from '../../../src/engines/vercel/state/state-layout.ts';

const SANDBOX_ID = 'sbx_8k3f9c2m7q4z';
const OTHERS = {
  version: 1,
  sandboxId: SANDBOX_ID,
  state: 'made',
  teamId: 'team_1',
  projectId: 'prj_1',
  runtime: 'node24',
  snapshotSession: null,
  policy: { mode: 'deny-all' },
  lastSeen: null,
};

/** Fields that were added later, with the values for an older record. */
const ADDED = { sourcePath: null, sessionId: null, persistent: false, lease: null };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vercel-old-records-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a record of version 0.1.0', () => {
  it('is read, and written with the current names', async () => {
    const layout = new VercelLayout(folder);
    const paths = layout.sandbox(SANDBOX_ID);
    await mkdir(paths.dir, { recursive: true });
    await writeFile(
      paths.record.file,
      JSON.stringify({ ...OTHERS, askedAt: 1_700_000_000_000, stopAsked: null }),
    );
    expect(await readRecord(layout, SANDBOX_ID)).toEqual({
      ...OTHERS,
      requestedAt: 1_700_000_000_000,
      requestedStop: null,
      ...ADDED,
    });

    await updateRecord(layout, SANDBOX_ID, (record) => ({ ...record, requestedStop: 'snapshot' }));
    const written: unknown = JSON.parse(await readFile(paths.record.file, 'utf8'));
    expect(written).toEqual({
      ...OTHERS,
      requestedAt: 1_700_000_000_000,
      requestedStop: 'snapshot',
      ...ADDED,
    });
  });
});
