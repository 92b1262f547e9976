/** How a sandbox in the cloud is told, from what the SDK says and what this machine remembers. */
import type { Sandbox as SdkSandbox, Session as SdkSession } from '@vercel/sandbox';
import type { Sandbox, SandboxStatus, StopCause } from '../../engine.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { policyInForce } from './network-policy.ts';
import { DEFAULT_RUNTIME } from './runtime-choice.ts';

/** The platform ends a sandbox a little before or after its time. */
const DEADLINE_SLACK_MS = 5_000;

const ENDED: readonly SandboxStatus[] = ['stopped', 'aborted', 'failed'];

/** True for a status that a sandbox does not leave any more. */
export function hasEnded({ status }: Pick<Sandbox, 'status'>): boolean {
  return ENDED.includes(status);
}

/** The sandbox as it stands; `record` is null where it was made by another machine. */
export function viewOf(sandbox: SdkSandbox, record: SandboxRecord | null): Sandbox {
  const session = sandbox.currentSession();
  const status = statusOf(session, record);
  const startedAt = (session.startedAt ?? session.createdAt).getTime();
  const ended = hasEnded({ status });
  return {
    sandboxId: sandbox.name,
    status,
    engine: 'vercel',
    runtime: session.runtime ?? record?.runtime ?? sandbox.image ?? sandbox.runtime ?? DEFAULT_RUNTIME,
    cwd: session.cwd,
    vcpus: session.vcpus,
    memoryMb: session.memory,
    createdAt: sandbox.createdAt.getTime(),
    timeoutMs: session.timeout,
    expiresAt: ended ? null : startedAt + session.timeout,
    ports: portsOf(sandbox, ended),
    networkPolicy: policyInForce(session.networkPolicy, record?.policy ?? null),
    // Terminals for people need a server between them and the platform.
    interactivePort: null,
    sourceSnapshotId: session.sourceSnapshotId ?? null,
    stopCause: ended ? stopCauseOf(sandbox, record) : null,
    statusReason: reasonOf(status),
  };
}

/** A session of which a snapshot was asked for goes on to say that it runs, until it ends with that. */
function statusOf(session: SdkSession, record: SandboxRecord | null): SandboxStatus {
  return session.status === 'running' && endsBySnapshot(session, record) ? 'snapshotting' : session.status;
}

/**
 * `snapshottedAt` is when a snapshot was asked for, and may stay after that has failed and the session goes on. The
 * record says then that nobody asks for one any more; without a record there is only the platform's word.
 */
function endsBySnapshot({ snapshottedAt }: SdkSession, record: SandboxRecord | null): boolean {
  return snapshottedAt !== undefined && (record === null || record.requestedStop === 'snapshot');
}

/** The platform goes on naming the address of a port whose sandbox has ended; nobody answers there. */
function portsOf(sandbox: SdkSandbox, ended: boolean): Sandbox['ports'] {
  const interactive = sandbox.currentSession().interactivePort;
  return sandbox.routes
    .filter(({ port }) => port !== interactive)
    .map(({ port, url }) => ({
      port,
      url: ended ? null : /^https?:\/\//.test(url) ? url : sandbox.domain(port),
    }));
}

function stopCauseOf(sandbox: SdkSandbox, record: SandboxRecord | null): StopCause {
  const session = sandbox.currentSession();
  if (endsBySnapshot(session, record)) return 'snapshot';
  if (session.status === 'aborted') return 'aborted';
  const requested = record?.requestedStop ?? null;
  if (requested !== null) return requested;
  const deadline = (session.startedAt ?? session.createdAt).getTime() + session.timeout;
  const end = session.stoppedAt?.getTime() ?? Date.now();
  if (end >= deadline - DEADLINE_SLACK_MS) return 'deadline';
  // Before its time, and nobody here asked for it: a snapshot was taken from elsewhere, or its answer was lost.
  return session.snapshottedAt === undefined ? 'requested' : 'snapshot';
}

function reasonOf(status: SandboxStatus): string | null {
  if (status === 'failed') return 'Vercel could not make it';
  return status === 'aborted' ? 'Vercel ended it' : null;
}

/** A sandbox that the cloud does not know any more, as it was last seen and as it must have ended. */
export function endedView(last: Sandbox, record: SandboxRecord, now: number): Sandbox {
  if (hasEnded(last)) return last;
  const outlived = last.expiresAt !== null && now >= last.expiresAt - DEADLINE_SLACK_MS;
  const stopCause = record.requestedStop ?? (outlived ? 'deadline' : 'aborted');
  return {
    ...last,
    status: stopCause === 'aborted' ? 'aborted' : 'stopped',
    expiresAt: null,
    ports: last.ports.map(({ port }) => ({ port, url: null })),
    stopCause,
    statusReason: stopCause === 'aborted' ? 'Vercel does not know it any more' : null,
  };
}
