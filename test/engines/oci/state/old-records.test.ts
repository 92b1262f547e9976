import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseExit } from '../../../../src/engines/oci/exec/command-state.ts';
import { encodeFields, TAG } from '../../../../src/engines/oci/protocol/frames.ts';
import { commandPaths, readCommandRecord } from '../../../../src/engines/oci/state/command-record.ts';
import { readRecord, updateRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { readLiveSnapshot } from '../../../../src/engines/oci/state/snapshot-record.ts';
import { StateLayout } from '../../../../src/engines/oci/state/state-layout.ts';

const SANDBOX_ID = 'sbx_8k3f9c2m7q4z';
const COMMAND_ID = 'cmd_8k3f9c2m7q4z_vepy943j';
const SNAPSHOT_ID = 'snap_7h2k9d4m6x3v';
const OWNERS = { root: { mode: 448, uid: 100000, gid: 100000 } };

/** As version 0.1.0 wrote it: with `ground` for `baseLayers`, and `path_prefix` in the policy. */
const OLD_RECORD = {
  format: 1,
  sandboxId: SANDBOX_ID,
  etcTemplate: 'f3a1c0de12ab',
  image: null,
  shell: '/bin/bash',
  caBundle: '/etc/ssl/certs/ca-certificates.crt',
  sourceSnapshotId: SNAPSHOT_ID,
  ground: {
    layers: [{ snapshotId: SNAPSHOT_ID, directories: ['root', 'vercel'] }],
    owners: OWNERS,
  },
  interactive: false,
  diskMb: 2048,
  runtime: 'node24',
  vcpus: 2,
  memoryMb: 4096,
  timeoutMs: 300000,
  ports: [3000],
  env: { MODE: 'test' },
  networkPolicy: {
    mode: 'custom',
    allow: ['example.com'],
    subnets: { deny: ['203.0.113.0/24'] },
    rules: [
      {
        domain: 'api.example.com',
        match: { methods: ['GET'], path_prefix: '/v1/' },
        headers: { 'x-key': 'literal' },
      },
    ],
  },
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

const OLD_COMMAND = {
  commandId: COMMAND_ID,
  cmd: 'npm',
  args: ['test'],
  cwd: '/vercel/sandbox',
  startedAt: 1760000001000,
  outOfMemoryKills: 0,
};

const OLD_SNAPSHOT = {
  format: 1,
  snapshotId: SNAPSHOT_ID,
  sourceSandboxId: SANDBOX_ID,
  status: 'created',
  runtime: 'host',
  etcTemplate: 'f3a1c0de12ab',
  image: null,
  shell: '/bin/bash',
  layers: [{ snapshotId: SNAPSHOT_ID, directories: ['vercel'] }],
  owners: OWNERS,
  ownBytes: 4096,
  createdAt: 1760000100000,
  expiresAt: null,
  mounts: 'by-root',
  ids: '0:100000:65536',
};

describe('a record written by the previous version', () => {
  let layout: StateLayout;
  beforeEach(async () => {
    layout = new StateLayout(await mkdtemp(join(tmpdir(), 'sandbox-mcp-old-records-')));
    await mkdir(layout.sandbox(SANDBOX_ID).dir, { recursive: true });
    await writeFile(layout.sandbox(SANDBOX_ID).record, JSON.stringify(OLD_RECORD));
  });
  afterEach(() => rm(layout.stateDir, { recursive: true }));

  it('is read, with its layers and its policy under their current names', async () => {
    const { ground, networkPolicy, ...others } = OLD_RECORD;
    const record = await readRecord(layout, SANDBOX_ID);
    expect(record).toMatchObject({ ...others, baseLayers: ground });
    expect(record).not.toHaveProperty('ground');
    const [rule] = networkPolicy.rules;
    expect(record.networkPolicy).toEqual({
      ...networkPolicy,
      rules: [{ ...rule, match: { methods: ['GET'], pathPrefix: '/v1/' } }],
    });
  });

  it('of a command is read', async () => {
    const paths = commandPaths(layout, COMMAND_ID);
    await mkdir(paths.sandbox.commands);
    await writeFile(paths.record, JSON.stringify(OLD_COMMAND));
    expect(await readCommandRecord(paths, COMMAND_ID)).toEqual(OLD_COMMAND);
  });

  it('of the end of a command is read, with the time of the end that its agent wrote', () => {
    const exit = encodeFields([
      [TAG.exitCode, 3],
      [TAG.exitSignal, 0],
      [TAG.exitCause, 0],
      [73, 1760000009000],
      [TAG.durationMs, 8000],
      [TAG.exitStdoutBytes, 12],
      [TAG.exitStderrBytes, 0],
    ]);
    expect(parseExit(exit)).toMatchObject({
      exitCode: 3,
      endedBy: 'exit',
      durationMs: 8000,
      stdoutBytes: 12,
    });
  });

  it('of a snapshot is read', async () => {
    const paths = layout.snapshot(SNAPSHOT_ID);
    await mkdir(paths.dir, { recursive: true });
    await writeFile(paths.record, JSON.stringify(OLD_SNAPSHOT));
    expect(await readLiveSnapshot(layout, SNAPSHOT_ID)).toEqual(OLD_SNAPSHOT);
  });

  it('is written with the current names at its next change', async () => {
    await updateRecord(layout, SANDBOX_ID, (record) => ({ ...record, statusReason: 'changed' }));
    const written = JSON.parse(await readFile(layout.sandbox(SANDBOX_ID).record, 'utf8'));
    expect(written.baseLayers).toEqual(OLD_RECORD.ground);
    expect(written).not.toHaveProperty('ground');
  });
});
