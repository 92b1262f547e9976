import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRecord, updateRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';

const SANDBOX_ID = 'sbx_8k3f9c2m7q4z';
/** As written before `ground` was renamed to `baseLayers`. */
const OLD_RECORD = {
  format: 1,
  sandboxId: SANDBOX_ID,
  etcTemplate: 'f3a1c0de12ab',
  image: null,
  shell: '/bin/bash',
  caBundle: '/etc/ssl/certs/ca-certificates.crt',
  sourceSnapshotId: 'snap_7h2k9d4m6x3v',
  ground: {
    layers: [{ snapshotId: 'snap_7h2k9d4m6x3v', directories: ['root', 'vercel'] }],
    owners: { root: { mode: 448, uid: 100000, gid: 100000 } },
  },
  interactive: false,
  diskMb: 2048,
  runtime: 'node24',
  vcpus: 2,
  memoryMb: 4096,
  timeoutMs: 300000,
  ports: [3000],
  env: { MODE: 'test' },
  networkPolicy: { mode: 'deny-all' },
  status: 'stopped',
  statusReason: null,
  stopCause: 'requested',
  createdAt: 1760000000000,
  expiresAt: 1760000300000,
  endedAt: 1760000100000,
  worker: null,
  init: { pid: 4242, startTime: '123456', bootId: '0b1f1f5c-5d3b-4d0e-9e36-1a1d7d8f9a10' },
  cgroups: ['/sys/fs/cgroup/sandbox-mcp/sbx_8k3f9c2m7q4z'],
  enforced: { memory: true, cpu: true, pids: true },
  snapshot: null,
};

describe('a record written by the previous version', () => {
  let layout: StateLayout;
  beforeEach(async () => {
    layout = new StateLayout(await mkdtemp(join(tmpdir(), 'sandbox-mcp-old-records-')));
    await mkdir(layout.sandbox(SANDBOX_ID).dir, { recursive: true });
    await writeFile(layout.sandbox(SANDBOX_ID).record, JSON.stringify(OLD_RECORD));
  });
  afterEach(() => rm(layout.stateDir, { recursive: true }));

  it('is read, with its layers under their current name', async () => {
    const { ground, ...others } = OLD_RECORD;
    expect(await readRecord(layout, SANDBOX_ID)).toEqual({ ...others, baseLayers: ground });
  });

  it('is written with the current names at its next change', async () => {
    await updateRecord(layout, SANDBOX_ID, (record) => ({ ...record, statusReason: 'changed' }));
    const written = JSON.parse(await readFile(layout.sandbox(SANDBOX_ID).record, 'utf8'));
    expect(written.baseLayers).toEqual(OLD_RECORD.ground);
    expect(written).not.toHaveProperty('ground');
  });
});
