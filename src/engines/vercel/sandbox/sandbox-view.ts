/** The contract's view of a sandbox in the cloud, from the SDK's data and this machine's records. */
import type { Sandbox as SdkSandbox, Session as SdkSession } from '@vercel/sandbox';
import type { Sandbox, SandboxStatus, StopCause } from '../../engine.ts';
import { policyInForce } from '../policy/network-policy.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { DEFAULT_RUNTIME } from './runtime-choice.ts';

/** The platform ends a sandbox a little before or after its deadline. */
const DEADLINE_SLACK_MS = 5_000;

const LEASE_ENDED = 'no server renewed its lease: the one that owned it has exited';

const ENDED: readonly SandboxStatus[] = ['stopped', 'aborted', 'failed'];

/** When a session started, as far as its deadline is concerned; epoch ms. */
export function startOf(session: Pick<SdkSession, 'startedAt' | 'createdAt'>): number {
  return (session.startedAt ?? session.createdAt).getTime();
}

/** True for a final status. */
export function hasEnded({ status }: Pick<Sandbox, 'status'>): boolean {
  return ENDED.includes(status);
}

/** The current state of the sandbox; `record` is null if another machine created it. */
export function viewOf(
  sandbox: SdkSandbox,
  record: SandboxRecord | null,
  unknownParts: readonly string[],
): Sandbox {
  const session = sandbox.currentSession();
  const status = statusOf(session, record);
  const ended = hasEnded({ status });
  const timeoutMs = Math.max(session.timeout, record?.lease?.promisedMs ?? 0);
  const stopCause = ended ? stopCauseOf(sandbox, record) : null;
  return {
    sandboxId: sandbox.name,
    status,
    engine: 'vercel',
    runtime: session.runtime ?? record?.runtime ?? sandbox.image ?? sandbox.runtime ?? DEFAULT_RUNTIME,
    cwd: session.cwd,
    vcpus: session.vcpus,
    memoryMb: session.memory,
    createdAt: sandbox.createdAt.getTime(),
    timeoutMs,
    expiresAt: ended ? null : startOf(session) + timeoutMs,
    ports: portsOf(sandbox, ended),
    networkPolicy: policyInForce(session.networkPolicy, record?.policy ?? null, unknownParts),
    // Interactive terminals need a server between them and the platform.
    interactivePort: null,
    sourceSnapshotId: session.sourceSnapshotId ?? null,
    sourcePath: record?.sourcePath ?? null,
    stopCause,
    statusReason: reasonOf(status) ?? leaseReason(stopCause, record) ?? otherSession(session, record, status),
    region: session.region,
  };
}

/** A new session has the files of the last snapshot at most, and none of the processes. */
function otherSession(
  { sessionId }: SdkSession,
  record: SandboxRecord | null,
  status: SandboxStatus,
): string | null {
  const known = record?.sessionId ?? null;
  if (known === null || known === sessionId || hasEnded({ status })) return null;
  return 'restarted elsewhere, in a new session: its earlier processes are gone, and files may be older';
}

/** A session that is being snapshotted keeps reporting that it runs, until the snapshot ends it. */
function statusOf(session: SdkSession, record: SandboxRecord | null): SandboxStatus {
  return session.status === 'running' && endsBySnapshot(session, record) ? 'snapshotting' : session.status;
}

/**
 * `snapshottedAt` is when a snapshot was requested. It may remain after that failed and the session
 * continues; the record then has no pending request. Without a record, only the platform's value is known.
 */
function endsBySnapshot({ snapshottedAt }: SdkSession, record: SandboxRecord | null): boolean {
  return snapshottedAt !== undefined && (record === null || record.requestedStop === 'snapshot');
}

/** The platform still lists the address of a port after its sandbox has ended; nothing listens there. */
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
  const deadline = startOf(session) + session.timeout;
  const end = session.stoppedAt?.getTime() ?? Date.now();
  if (end >= deadline - DEADLINE_SLACK_MS) return isPromised(record, end) ? 'session_end' : 'deadline';
  // Before its deadline, and not requested here: a snapshot was taken elsewhere, or its response was lost.
  return session.snapshottedAt === undefined ? 'requested' : 'snapshot';
}

function reasonOf(status: SandboxStatus): string | null {
  if (status === 'failed') return 'Vercel could not create it';
  return status === 'aborted' ? 'Vercel ended it' : null;
}

/** True if callers were promised that the sandbox lasts longer: then its lease has run out. */
function isPromised(record: SandboxRecord | null, end: number): boolean {
  const lease = record?.lease;
  if (lease == null || lease.startedAt === null) return false;
  return end < lease.startedAt + lease.promisedMs - DEADLINE_SLACK_MS;
}

/** Why a sandbox ended that nobody stopped. */
function leaseReason(cause: StopCause | null, record: SandboxRecord | null): string | null {
  const byLease = cause === 'session_end' && record !== null && record.requestedStop === null;
  return byLease ? LEASE_ENDED : null;
}

/** A sandbox that the cloud no longer knows: its last known state, and how it must have ended. */
export function endedView(last: Sandbox, record: SandboxRecord, now: number): Sandbox {
  if (hasEnded(last)) return last;
  const outlived = last.expiresAt !== null && now >= last.expiresAt - DEADLINE_SLACK_MS;
  const { lease } = record;
  const until = lease?.startedAt == null ? null : lease.startedAt + lease.grantedMs;
  const leaseEnded = until !== null && now >= until - DEADLINE_SLACK_MS;
  const stopCause = record.requestedStop ?? (outlived ? 'deadline' : leaseEnded ? 'session_end' : 'aborted');
  return {
    ...last,
    status: stopCause === 'aborted' ? 'aborted' : 'stopped',
    expiresAt: null,
    ports: last.ports.map(({ port }) => ({ port, url: null })),
    stopCause,
    statusReason: stopCause === 'aborted' ? 'it no longer exists at Vercel' : leaseReason(stopCause, record),
  };
}
