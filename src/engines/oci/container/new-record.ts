import { currentProcess } from '../../../shared/process-identity.ts';
import { IMAGE_BUNDLE } from '../host/ca/ca-trust.ts';
import type { Host } from '../host/host.ts';
import { DEFAULT_SHELL, NO_BASE_LAYERS, type SandboxRecord } from '../state/sandbox-record.ts';
import { STATE_FORMAT } from '../state/state-layout.ts';

/** What the caller specifies of a new sandbox. */
export type RecordInput = Pick<
  SandboxRecord,
  'sandboxId' | 'runtime' | 'vcpus' | 'memoryMb' | 'timeoutMs' | 'ports' | 'env' | 'networkPolicy'
> &
  Partial<
    Pick<
      SandboxRecord,
      | 'etcTemplate'
      | 'sourceSnapshotId'
      | 'baseLayers'
      | 'image'
      | 'shell'
      | 'caBundle'
      | 'interactive'
      | 'diskMb'
      | 'workspace'
      | 'volumes'
    >
  >;

/** The record of a sandbox that this process is about to create. */
export function newRecord(host: Host, given: RecordInput): SandboxRecord {
  const createdAt = Date.now();
  return {
    format: STATE_FORMAT,
    etcTemplate: host.etcTemplate,
    image: null,
    shell: DEFAULT_SHELL,
    caBundle: host.caBundle.path ?? IMAGE_BUNDLE,
    sourceSnapshotId: null,
    baseLayers: NO_BASE_LAYERS,
    interactive: false,
    diskMb: null,
    workspace: null,
    volumes: [],
    ...given,
    status: 'pending',
    statusReason: null,
    stopCause: null,
    createdAt,
    expiresAt: createdAt + given.timeoutMs,
    endedAt: null,
    worker: currentProcess(),
    init: null,
    cgroups: [],
    enforced: { memory: false, cpu: false, pids: false },
    idBase: null,
    snapshot: null,
  };
}
