/** The calls about snapshots. */
import { z } from 'zod';
import { SandboxError } from '../../../../src/shared/errors.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { sessionPayload } from '../cloud/records.ts';
import { asApi } from '../cloud/work.ts';
import { ApiFailure, type ApiRequest, answer, pageOf, type Reply } from '../wire/reply.ts';
import { bodyOf } from './sandbox-calls.ts';

const snapshotRequest = z.strictObject({ expiration: z.number().optional() });

/** Stops the session; expires after 30 days by default. */
export async function createSnapshot(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const session = await cloud.running(request.names[0] ?? '');
  const { expiration } = await bodyOf(request, snapshotRequest);
  const taken = await asTaken(() =>
    cloud.snapshots.take(session, expiration ?? session.sandbox.snapshotExpiration),
  );
  session.snapshottedAt = taken.createdAt;
  return answer('CreateSnapshotResponse', {
    snapshot: await cloud.snapshots.payloadOf(taken),
    session: sessionPayload(session, await cloud.current(session)),
  });
}

/** A second snapshot of one session conflicts with the first. */
async function asTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'conflict')
      throw new ApiFailure(422, 'sandbox_snapshotting', error.message);
    return asApi(() => Promise.reject(error));
  }
}

export async function getSnapshot(cloud: Cloud, { names: [id = ''] }: ApiRequest): Promise<Reply> {
  const { snapshots } = cloud;
  const found =
    snapshots.deleted(id) ?? (await asApi(async () => snapshots.payloadOf(await snapshots.get(id))));
  return answer('SnapshotResponse', { snapshot: found });
}

export async function listSnapshots(cloud: Cloud, { url }: ApiRequest): Promise<Reply> {
  const found = await cloud.snapshots.list(url.searchParams.get('name'));
  if (url.searchParams.get('sortOrder') === 'asc') found.reverse();
  const { items, pagination } = pageOf(found, url);
  return answer('SnapshotsResponse', { snapshots: items, pagination });
}

/** Deleting one twice is not an error. */
export async function deleteSnapshot(cloud: Cloud, { names: [id = ''] }: ApiRequest): Promise<Reply> {
  const { snapshots } = cloud;
  const deleted = snapshots.deleted(id) ?? (await asApi(() => snapshots.delete(snapshots.ids.below(id))));
  return answer('SnapshotResponse', { snapshot: deleted });
}
