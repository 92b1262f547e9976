/** The calls about named sandboxes. */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { posix } from 'node:path';
import { z } from 'zod';
import type { Cloud } from '../cloud/cloud.ts';
import { type FetchedSource, fill, sourceRequest } from '../cloud/fill.ts';
import { policyRequest } from '../cloud/network-policy.ts';
import {
  currentSession,
  DEFAULT_REGION,
  routesPayload,
  type SandboxRecord,
  sandboxPayload,
  sessionPayload,
} from '../cloud/records.ts';
import { asApi } from '../cloud/work.ts';
import { ApiFailure, type ApiRequest, answer, pageOf, type Reply } from '../wire/reply.ts';

/** The service's values; here all are the host's own. */
const RUNTIMES = ['node26', 'node24', 'node22', 'python3.13'];
const MAX_TIMEOUT_MS = 86_400_000;
const MAX_PORTS = 15;
const MAX_TAGS = 5;

const shared = {
  projectId: z.string().optional(),
  ports: z
    .array(z.number().int().min(1).max(65_535))
    .max(MAX_PORTS, `\`ports\` should NOT have more than ${MAX_PORTS} items.`)
    .optional(),
  timeout: z.number().int().min(1_000).max(MAX_TIMEOUT_MS).optional(),
  resources: z.object({ vcpus: z.number().int().min(1).max(32), memory: z.number().optional() }).optional(),
  networkPolicy: policyRequest.optional(),
  persistent: z.boolean().optional(),
  tags: z
    .record(z.string(), z.string())
    .refine(
      (tags) => Object.keys(tags).length <= MAX_TAGS,
      `should NOT have more than ${MAX_TAGS} properties`,
    )
    .optional(),
  region: z.string().optional(),
  failoverRegions: z.array(z.string()).optional(),
  snapshotExpiration: z.number().optional(),
};
const keepLastSnapshots = z.strictObject({
  count: z.number().int().min(1).max(10),
  expiration: z.number().optional(),
  deleteEvicted: z.boolean().default(true),
});

export const createRequest = z.strictObject({
  ...shared,
  keepLastSnapshots: keepLastSnapshots.optional(),
  name: z
    .string()
    .regex(/^[a-zA-Z0-9_-]{1,64}$/)
    .optional(),
  runtime: z.string().optional(),
  image: z.string().optional(),
  source: sourceRequest.optional(),
  env: z.record(z.string(), z.string()).optional(),
  __interactive: z.boolean().optional(),
});

export const updateRequest = z.strictObject({
  ...shared,
  keepLastSnapshots: keepLastSnapshots.nullable().optional(),
  currentSnapshotId: z.string().optional(),
});

/** Validates a body by its schema; reports errors as the service does. */
export async function bodyOf<T>(request: ApiRequest, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await request.json());
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ApiFailure(400, 'bad_request', `Invalid request: ${issue?.path.join('.')} ${issue?.message}`);
}

export async function createSandbox(cloud: Cloud, request: ApiRequest, project: string): Promise<Reply> {
  const body = await bodyOf(request, createRequest);
  const { source, runtime } = body;
  if (body.projectId !== project) throw new ApiFailure(404, 'not_found', 'Project not found');
  if (runtime !== undefined && (source?.type === 'snapshot' || body.image !== undefined))
    throw new ApiFailure(400, 'bad_request', 'A runtime cannot be given with an image or a snapshot source');
  if (runtime !== undefined && !RUNTIMES.includes(runtime))
    throw new ApiFailure(400, 'bad_request', `Invalid runtime: ${runtime}`);
  requireOtherRegions(body.region, body.failoverRegions);
  const snapshotId = source?.type === 'snapshot' ? source.snapshotId : null;
  const origin = snapshotId === null ? null : await sourceOf(cloud, snapshotId);
  const now = Date.now();
  const record: SandboxRecord = {
    name: body.name ?? `sandbox-${randomBytes(6).toString('hex')}`,
    persistent: body.persistent ?? true,
    runtime: runtime ?? origin?.runtime ?? null,
    image: body.image ?? null,
    vcpus: available(body.resources?.vcpus ?? 2),
    timeoutMs: body.timeout ?? 300_000,
    ports: body.ports ?? [],
    cwd: cloud.cwd,
    region: body.region ?? DEFAULT_REGION,
    failoverRegions: body.failoverRegions ?? null,
    snapshotExpiration: body.snapshotExpiration ?? null,
    keepLastSnapshots: body.keepLastSnapshots ?? null,
    currentSnapshotId: null,
    env: body.env ?? {},
    tags: body.tags ?? null,
    policy: body.networkPolicy ?? { mode: 'allow-all' },
    createdAt: now,
    updatedAt: now,
    sessions: [],
  };
  await cloud.add(record, { snapshotId, interactive: body.__interactive === true });
  if (source !== undefined && source.type !== 'snapshot') {
    try {
      const session = currentSession(record);
      await fill(cloud.engine, session.below, source, sourceFolder(record, source), cloud.life(session));
    } catch (error) {
      await cloud.delete(record);
      throw error;
    }
  }
  return whole(cloud, record);
}

/** In a managed image a repository gets a folder of its own name. */
function sourceFolder({ cwd, runtime }: SandboxRecord, { type, url }: FetchedSource): string {
  if (type === 'tarball' || runtime !== null) return cwd;
  return posix.join(cwd, posix.basename(new URL(url).pathname, '.git'));
}

/** The service has more of them than this machine. */
function available(vcpus: number): number {
  return Math.min(vcpus, availableParallelism());
}

/** Checks what the caller sent or can read, and not the region that a sandbox has by default. */
function requireOtherRegions(region: string | undefined, failoverRegions: string[] | null = null): void {
  if (region === undefined || !failoverRegions?.includes(region)) return;
  const message = `failoverRegions must not include the sandbox region: ${region}`;
  throw new ApiFailure(400, 'bad_request', message);
}

/**
 * The sandbox that a snapshot was taken of; null if it is no longer known. A deleted snapshot is not a
 * deleted sandbox.
 */
async function sourceOf(cloud: Cloud, snapshotId: string): Promise<SandboxRecord | null> {
  try {
    const { sourceSandboxId } = await asApi(() => cloud.snapshots.get(snapshotId));
    return cloud.sessionBelow(sourceSandboxId)?.sandbox ?? null;
  } catch (error) {
    if (error instanceof ApiFailure && error.status === 404)
      throw new ApiFailure(410, 'snapshot_not_found', `Snapshot not found: ${snapshotId}`);
    throw error;
  }
}

async function whole(cloud: Cloud, record: SandboxRecord, resumed = false): Promise<Reply> {
  const session = currentSession(record);
  const below = await cloud.current(session);
  return answer('SandboxAndSessionResponse', {
    sandbox: sandboxPayload(record, below),
    session: sessionPayload(session, below),
    routes: routesPayload(record, below),
    resumed,
  });
}

export async function getSandbox(cloud: Cloud, { names: [name = ''], url }: ApiRequest): Promise<Reply> {
  const record = await cloud.sandbox(name);
  const resumes = url.searchParams.get('resume') === 'true';
  if (resumes) await cloud.settled(currentSession(record));
  if (!resumes || (await cloud.current(currentSession(record))).expiresAt !== null)
    return whole(cloud, record);
  // One that does not persist starts without the files of the session before.
  const snapshotId = record.persistent ? record.currentSnapshotId : null;
  await cloud.startSession(record, { snapshotId, interactive: false });
  cloud.deeds.resumed.push(name);
  return whole(cloud, record, true);
}

export async function listSandboxes(cloud: Cloud, { url }: ApiRequest): Promise<Reply> {
  const prefix = url.searchParams.get('namePrefix') ?? '';
  const tags = url.searchParams.getAll('tags').map((tag) => tag.split(':'));
  const found = cloud
    .all()
    .filter(({ name }) => name.startsWith(prefix))
    .filter((record) => tags.every(([key = '', value]) => record.tags?.[key] === value));
  if (url.searchParams.get('sortBy') === 'name') found.sort((a, b) => (a.name < b.name ? 1 : -1));
  if (url.searchParams.get('sortOrder') === 'asc') found.reverse();
  const { items, pagination } = pageOf(found, url);
  const sandboxes: object[] = [];
  for (const record of items)
    sandboxes.push(sandboxPayload(record, await cloud.current(currentSession(record))));
  return answer('SandboxesPaginationResponse', { sandboxes, pagination });
}

export async function updateSandbox(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const record = await cloud.sandbox(request.names[0] ?? '');
  const body = await bodyOf(request, updateRequest);
  if (body.region !== undefined || body.failoverRegions !== undefined)
    requireOtherRegions(body.region ?? record.region, body.failoverRegions ?? record.failoverRegions);
  if (body.currentSnapshotId !== undefined) await sourceOf(cloud, body.currentSnapshotId);
  // Only the configuration: the SDK changes the running session by calls of its own.
  record.policy = body.networkPolicy ?? record.policy;
  record.timeoutMs = body.timeout ?? record.timeoutMs;
  record.vcpus = available(body.resources?.vcpus ?? record.vcpus);
  record.tags = body.tags ?? record.tags;
  record.persistent = body.persistent ?? record.persistent;
  record.region = body.region ?? record.region;
  record.failoverRegions = body.failoverRegions ?? record.failoverRegions;
  record.snapshotExpiration = body.snapshotExpiration ?? record.snapshotExpiration;
  record.currentSnapshotId = body.currentSnapshotId ?? record.currentSnapshotId;
  if (body.keepLastSnapshots !== undefined) record.keepLastSnapshots = body.keepLastSnapshots;
  record.updatedAt = Date.now();
  if (body.ports !== undefined) await cloud.setPorts(record, body.ports);
  const below = await cloud.current(currentSession(record));
  const routes = body.ports === undefined ? undefined : routesPayload(record, below);
  return answer('UpdateSandboxResponse', { sandbox: sandboxPayload(record, below), routes });
}

export async function deleteSandbox(cloud: Cloud, { names: [name = ''], url }: ApiRequest): Promise<Reply> {
  const record = await cloud.sandbox(name);
  const below = await cloud.delete(record);
  if (url.searchParams.get('deleteOrphanSnapshots') === 'true')
    await asApi(() => cloud.snapshots.deleteOrphans(name, cloud.all()));
  return answer('UpdateSandboxResponse', { sandbox: sandboxPayload(record, below) });
}
