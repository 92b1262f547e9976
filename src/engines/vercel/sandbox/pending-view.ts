/** A requested sandbox that the cloud does not list yet. */
import { SANDBOX_CWD } from '../../../shared/fs/sandbox-path.ts';
import type { CreateSandbox, Sandbox } from '../../engine.ts';
import { VERCEL_LIMITS } from './engine-limits.ts';
import { DEFAULT_RUNTIME } from './runtime-choice.ts';

/** @param requestedAt epoch ms */
export function pendingView(request: CreateSandbox, requestedAt: number): Sandbox {
  const { sandboxId, runtime, vcpus, timeoutMs, ports, networkPolicy, source } = request;
  return {
    sandboxId,
    status: 'pending',
    engine: 'vercel',
    runtime: runtime ?? DEFAULT_RUNTIME,
    cwd: SANDBOX_CWD,
    vcpus,
    memoryMb: vcpus * VERCEL_LIMITS.memoryMbPerVcpu,
    createdAt: requestedAt,
    timeoutMs,
    expiresAt: requestedAt + timeoutMs,
    ports: ports.map((port) => ({ port, url: null })),
    networkPolicy,
    interactivePort: null,
    sourceSnapshotId: source?.type === 'snapshot' ? source.snapshotId : null,
    sourcePath: null,
    stopCause: null,
    statusReason: null,
  };
}
