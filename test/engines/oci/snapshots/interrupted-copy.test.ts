import { mkdir, mkdtemp, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IdMap } from '../../../../src/engines/oci/host/id-map.ts';
import { continueCopied } from '../../../../src/engines/oci/sandbox/continue-copied.ts';
import { endCopy } from '../../../../src/engines/oci/snapshots/end-copy.ts';
import { readRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { currentProcess } from '../../../../src/shared/process-identity.ts';
import { LogLines } from '../../../registry/support/registry.ts';

const SANDBOX_ID = 'sbx_8k3f9c2m7q4z';
const SNAPSHOT = { snapshotId: 'snap_7h2k9d4m6x3v', expiresAt: null };

describe('a copy of a running sandbox that did not end well', () => {
  let root: string;
  let layout: StateLayout;
  let log: LogLines;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'interrupted-copy-'));
    layout = new StateLayout(join(root, 'state'));
    log = new LogLines();
    await mkdir(layout.sandbox(SANDBOX_ID).dir, { recursive: true });
  });
  afterEach(() => rm(root, { recursive: true }));

  async function beingCopied(worker: ReturnType<typeof currentProcess> | null) {
    const record = {
      format: 1,
      sandboxId: SANDBOX_ID,
      status: 'running',
      statusReason: null,
      stopCause: null,
      runtime: 'host',
      vcpus: 1,
      memoryMb: 512,
      timeoutMs: 300_000,
      createdAt: 1_760_000_000_000,
      expiresAt: 1_760_000_300_000,
      endedAt: null,
      ports: [],
      env: {},
      networkPolicy: { mode: 'deny-all' },
      worker,
      init: null,
      cgroups: [root],
      enforced: { memory: true, cpu: true, pids: true },
      etcTemplate: 'f3a1c0de12ab',
      sourceSnapshotId: null,
      baseLayers: { layers: [], owners: {} },
      snapshot: SNAPSHOT,
    };
    await writeFile(layout.sandbox(SANDBOX_ID).record, JSON.stringify(record));
    return readRecord(layout, SANDBOX_ID);
  }

  it('leaves the record readable while it cannot be thawed, and is thawed by a later reader', async () => {
    // No process can write to this file.
    const freezer = join(root, 'cgroup.freeze');
    await symlink('/proc/version', freezer);
    const record = await beingCopied(null);
    const logger = createLogger('warn', log);
    expect(await continueCopied(layout, logger, record)).toEqual(record);
    expect(log.lines.join()).toContain('cannot thaw');

    await unlink(freezer);
    await writeFile(freezer, '1');
    expect(await continueCopied(layout, logger, record)).toMatchObject({ snapshot: null, worker: null });
  });

  it('does not keep the sandbox from the next snapshot if its files cannot be removed', async () => {
    const record = await beingCopied(currentProcess());
    const ids = { uidMappings: [], gidMappings: [], hostUid: 0, hostGid: 0, uid: 0, gid: 0 };
    const diskIds: IdMap = { kind: 'single', ...ids };
    // An agent that does not exist removes nothing.
    const host = { agent: join(root, 'missing'), diskIds, layout };
    await endCopy(host, createLogger('warn', log), { ...record, snapshot: SNAPSHOT });
    expect(await readRecord(layout, SANDBOX_ID)).toMatchObject({ snapshot: null, worker: null });
    expect(log.lines.join()).toContain('cannot remove what a failed copy has left');
  });
});
