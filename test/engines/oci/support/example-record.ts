import type { SandboxRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';

/** The record of a sandbox that is being created. */
export function exampleRecord(sandboxId: string): SandboxRecord {
  return {
    format: 1,
    sandboxId,
    status: 'pending',
    statusReason: null,
    stopCause: null,
    runtime: 'node22',
    vcpus: 1,
    memoryMb: 2_048,
    diskMb: null,
    createdAt: 0,
    timeoutMs: 0,
    expiresAt: 0,
    endedAt: null,
    ports: [],
    env: {},
    interactive: false,
    networkPolicy: { mode: 'deny-all' },
    worker: null,
    init: null,
    cgroups: [],
    enforced: { memory: false, cpu: false, pids: false },
    etcTemplate: '',
    image: null,
    shell: '/bin/bash',
    caBundle: null,
    sourceSnapshotId: null,
    baseLayers: { layers: [], owners: {} },
    workspace: null,
    volumes: [],
    idBase: null,
    snapshot: null,
  };
}
