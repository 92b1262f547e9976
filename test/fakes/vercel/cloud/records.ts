/** The stand-in's records, and their form on the wire. */
import type { Command, Sandbox, Snapshot } from '../../../../src/engines/engine.ts';
import { type PolicyRequest, policyAnswer } from './network-policy.ts';

export const DEFAULT_REGION = 'iad1';
const DEFAULT_IMAGE = 'vercel/sandbox/universal:latest';
const DIGEST = 'sha256:5e6b1cf2';
const MEMORY_MB_PER_VCPU = 2_048;

export interface KeepLastSnapshots {
  count: number;
  expiration?: number | undefined;
  deleteEvicted: boolean;
}

/** A named sandbox: configuration that outlives its sessions. */
export interface SandboxRecord {
  name: string;
  persistent: boolean;
  /** Null for one made from an image. */
  runtime: string | null;
  /** Null for the default one. */
  image: string | null;
  vcpus: number;
  timeoutMs: number;
  ports: number[];
  /** Where its commands and relative paths start: newer base images have another one than older ones. */
  cwd: string;
  env: Record<string, string>;
  region: string;
  failoverRegions: string[] | null;
  snapshotExpiration: number | null;
  keepLastSnapshots: KeepLastSnapshots | null;
  /** What the next session starts from. */
  currentSnapshotId: string | null;
  tags: Record<string, string> | null;
  policy: PolicyRequest;
  createdAt: number;
  updatedAt: number;
  /** Never empty; the last one is current. */
  sessions: SessionRecord[];
}

/** One life of a sandbox: a microVM there, a sandbox of the engine below here. */
export interface SessionRecord {
  id: string;
  sandbox: SandboxRecord;
  /** The id in the engine below. */
  below: string;
  /** Granted so far, extensions included. */
  timeoutMs: number;
  requestedAt: number;
  requestedStopAt: number | null;
  stoppedAt: number | null;
  snapshottedAt: number | null;
  sourceSnapshotId: string | null;
  interactivePort: number | null;
  policy: PolicyRequest;
}

export function currentSession(record: SandboxRecord): SessionRecord {
  const session = record.sessions.at(-1);
  if (session === undefined) throw new Error(`${record.name} has no session`);
  return session;
}

export function sessionPayload(session: SessionRecord, below: Sandbox): object {
  if (below.expiresAt === null) session.stoppedAt ??= endOf(session, below);
  const stopped = session.stoppedAt;
  return {
    id: session.id,
    memory: below.memoryMb,
    vcpus: below.vcpus,
    region: session.sandbox.region,
    runtime: session.sandbox.runtime ?? undefined,
    timeout: session.timeoutMs,
    status: below.status,
    requestedAt: session.requestedAt,
    startedAt: below.createdAt,
    requestedStopAt: session.requestedStopAt ?? undefined,
    stoppedAt: below.status === 'stopped' ? (stopped ?? undefined) : undefined,
    abortedAt: below.status === 'aborted' ? (stopped ?? undefined) : undefined,
    duration: stopped === null ? undefined : stopped - below.createdAt,
    sourceSnapshotId: session.sourceSnapshotId ?? undefined,
    snapshottedAt: session.snapshottedAt ?? undefined,
    createdAt: session.requestedAt,
    cwd: session.sandbox.cwd,
    updatedAt: Math.max(session.sandbox.updatedAt, stopped ?? 0),
    interactivePort: session.interactivePort ?? undefined,
    networkPolicy: policyAnswer(session.policy),
    activeCpuDurationMs: stopped === null ? undefined : 0,
    networkTransfer: stopped === null ? undefined : { ingress: 0, egress: 0 },
  };
}

function endOf({ timeoutMs }: SessionRecord, below: Sandbox): number {
  return below.stopCause === 'deadline' ? below.createdAt + timeoutMs : Date.now();
}

export function sandboxPayload(record: SandboxRecord, below: Sandbox): object {
  const session = currentSession(record);
  return {
    name: record.name,
    persistent: record.persistent,
    region: record.region,
    failoverRegions: failoverRegionsOf(record),
    snapshotExpiration: record.snapshotExpiration ?? undefined,
    keepLastSnapshots: record.keepLastSnapshots ?? undefined,
    currentSnapshotId: record.currentSnapshotId ?? undefined,
    vcpus: record.vcpus,
    memory: record.vcpus * MEMORY_MB_PER_VCPU,
    runtime: record.runtime ?? undefined,
    image: record.runtime === null ? imageOf(record) : undefined,
    timeout: record.timeoutMs,
    networkPolicy: policyAnswer(record.policy),
    createdAt: record.createdAt,
    updatedAt: record.updatedAt,
    expiresAt: below.expiresAt === null ? undefined : below.createdAt + session.timeoutMs,
    currentSessionId: session.id,
    status: below.status,
    cwd: record.cwd,
    tags: record.tags ?? undefined,
  };
}

/** Each once, and without the region that the sandbox has by default. */
function failoverRegionsOf({ region, failoverRegions }: SandboxRecord): string[] | undefined {
  if (failoverRegions === null) return undefined;
  return [...new Set(failoverRegions)].filter((each) => each !== region);
}

/** The repository without its tag, at the digest it stood for. */
function imageOf({ image }: SandboxRecord): string {
  return `${(image ?? DEFAULT_IMAGE).replace(/:[^/:]*$/, '')}@${DIGEST}`;
}

/** The service names a public host; here it is the port on this machine that the engine below forwards. */
export function routesPayload(record: SandboxRecord, below: Sandbox): object[] {
  const open = below.ports.filter(({ port }) => record.ports.includes(port));
  return open.map(({ port, url }) => {
    const subdomain = `sb-${record.name.replace(/[^a-z0-9]+/gi, '')}-${port}`;
    return { port, subdomain, url: url ?? `https://${subdomain}.vercel.run` };
  });
}

export function commandPayload(sessionId: string, id: string, command: Command): object {
  return {
    id,
    name: command.cmd,
    args: command.args,
    cwd: command.cwd,
    sessionId,
    exitCode: command.exitCode,
    durationMs: command.status === 'finished' ? command.durationMs : undefined,
    startedAt: command.startedAt,
  };
}

export function snapshotPayload(source: SessionRecord | null, id: string, snapshot: Snapshot): object {
  const region = source?.sandbox.region ?? DEFAULT_REGION;
  return {
    id,
    sourceSessionId: source?.id ?? 'unknown',
    region,
    regions: [region],
    status: snapshot.status,
    sizeBytes: snapshot.sizeBytes ?? 0,
    expiresAt: snapshot.expiresAt ?? undefined,
    createdAt: snapshot.createdAt,
    updatedAt: snapshot.createdAt,
    creationMethod: 'manual',
  };
}
