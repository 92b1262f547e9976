import { SANDBOX_CWD } from '../../../shared/fs/sandbox-path.ts';
import type { ProvidedWorkspace, Sandbox } from '../../engine.ts';
import type { PortForwards } from '../ports/port-forwards.ts';
import type { SandboxRecord, WorkspaceRecord } from '../state/sandbox-record.ts';

/** A record as the engine contract's `Sandbox`. */
export function viewOf(record: SandboxRecord, forwards: PortForwards): Sandbox {
  const ended = record.endedAt !== null;
  return {
    sandboxId: record.sandboxId,
    status: record.status,
    engine: 'oci',
    runtime: record.runtime,
    cwd: SANDBOX_CWD,
    vcpus: record.vcpus,
    memoryMb: record.memoryMb,
    createdAt: record.createdAt,
    timeoutMs: record.timeoutMs,
    expiresAt: ended ? null : record.expiresAt,
    ports: record.ports.map((port) => ({ port, url: ended ? null : forwards.url(record.sandboxId, port) })),
    networkPolicy: record.networkPolicy,
    interactivePort: ended ? null : forwards.interactive.port(record.sandboxId),
    sourceSnapshotId: record.sourceSnapshotId,
    sourcePath: null,
    workspace: record.workspace && providedWorkspace(record.workspace),
    stopCause: record.stopCause,
    statusReason: record.statusReason,
  };
}

function providedWorkspace({ localPath, path, mode }: WorkspaceRecord): ProvidedWorkspace {
  return { localPath, path, mode, provision: mode === 'live' ? 'bind' : 'overlay' };
}
