/** The calls about snapshots. */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Snapshot, Snapshots } from '../../../../src/engines/engine.ts';
import { SandboxError } from '../../../../src/shared/errors.ts';
import { asApi, type Cloud, never } from '../cloud/cloud.ts';
import { sessionPayload, snapshotPayload } from '../cloud/records.ts';
import { ApiFailure, type ApiRequest, answer, pageOf, type Reply } from '../wire/reply.ts';
import { bodyOf } from './sandbox-calls.ts';

const COUNT_POLL_MS = 20;
const EVERYTHING = { limit: 100, since: null, until: null };

const snapshotRequest = z.strictObject({ expiration: z.number().optional() });

function snapshotsOf(cloud: Cloud): Snapshots {
  const { snapshots } = cloud.engine;
  if (snapshots === undefined) throw new Error('the engine below keeps no snapshots');
  return snapshots;
}

/** Stops the session; expires after 30 days by default. */
export async function createSnapshot(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const session = await cloud.running(request.names[0] ?? '');
  const { expiration } = await bodyOf(request, snapshotRequest);
  const taken = await asTaken(() => snapshotsOf(cloud).take(session.below, expiration ?? null, never()));
  session.snapshottedAt = taken.createdAt;
  await cloud.keepSnapshot(session, taken.snapshotId);
  return answer('CreateSnapshotResponse', {
    snapshot: await payloadOf(cloud, taken),
    session: sessionPayload(session, await cloud.current(session)),
  });
}

/** A second snapshot of one session conflicts with the first. */
async function asTaken(work: () => Promise<Snapshot>): Promise<Snapshot> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'conflict')
      throw new ApiFailure(422, 'sandbox_snapshotting', error.message);
    return asApi(() => Promise.reject(error));
  }
}

/** Distinguishes deleted snapshots from those that never existed. */
async function find(cloud: Cloud, id: string): Promise<Snapshot> {
  try {
    return await asApi(() => snapshotsOf(cloud).get(cloud.snapshotIds.below(id), never()));
  } catch (error) {
    if (!(error instanceof ApiFailure) || error.status !== 404) throw error;
    const deleted = cloud.deeds.deletedSnapshots.includes(id);
    throw new ApiFailure(
      deleted ? 410 : 404,
      deleted ? 'snapshot_not_found' : 'not_found',
      `Snapshot not found: ${id}`,
    );
  }
}

export async function getSnapshot(cloud: Cloud, { names: [id = ''] }: ApiRequest): Promise<Reply> {
  return answer('SnapshotResponse', { snapshot: await payloadOf(cloud, await find(cloud, id)) });
}

export async function listSnapshots(cloud: Cloud, { url }: ApiRequest): Promise<Reply> {
  const name = url.searchParams.get('name');
  const { items: all } = await snapshotsOf(cloud).list({ ...EVERYTHING, cursor: null }, never());
  const wanted = all.filter(
    ({ sourceSandboxId }) => name === null || cloud.sessionBelow(sourceSandboxId)?.sandbox.name === name,
  );
  if (url.searchParams.get('sortOrder') === 'asc') wanted.reverse();
  const { items, pagination } = pageOf(wanted, url);
  const snapshots: object[] = [];
  for (const snapshot of items) snapshots.push(await payloadOf(cloud, snapshot));
  return answer('SnapshotsResponse', { snapshots, pagination });
}

export async function deleteSnapshot(cloud: Cloud, { names: [id = ''] }: ApiRequest): Promise<Reply> {
  const found = await find(cloud, id);
  const counted = await payloadOf(cloud, found);
  await asApi(() => snapshotsOf(cloud).delete(found.snapshotId, never()));
  cloud.deeds.deletedSnapshots.push(id);
  return answer('SnapshotResponse', { snapshot: { ...counted, status: 'deleted' } });
}

/** With its size, which the engine below may still be counting. */
async function payloadOf(cloud: Cloud, snapshot: Snapshot): Promise<object> {
  let counted = snapshot;
  while (counted.sizeBytes === null) {
    await delay(COUNT_POLL_MS);
    counted = await snapshotsOf(cloud).get(snapshot.snapshotId, never());
  }
  const source = cloud.sessionBelow(snapshot.sourceSandboxId);
  return snapshotPayload(source, cloud.snapshotIds.above(counted.snapshotId), counted);
}
