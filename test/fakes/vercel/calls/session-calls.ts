/** The calls about sessions: one life of a sandbox. */
import { z } from 'zod';
import type { Cloud } from '../cloud/cloud.ts';
import { policyRequest } from '../cloud/network-policy.ts';
import { routesPayload, type SessionRecord, sandboxPayload, sessionPayload } from '../cloud/records.ts';
import { ApiFailure, type ApiRequest, answer, pageOf, type Reply } from '../wire/reply.ts';
import { bodyOf } from './sandbox-calls.ts';

/** Maximum lifetime of a session, extensions included. */
const MAX_LIFE_MS = 86_400_000;

const extendRequest = z.strictObject({ duration: z.number().int().min(1) });

async function payloadOf(cloud: Cloud, session: SessionRecord): Promise<object> {
  return sessionPayload(session, await cloud.current(session));
}

export async function getSession(cloud: Cloud, { names: [id = ''] }: ApiRequest): Promise<Reply> {
  const session = cloud.session(id);
  const below = await cloud.current(session);
  return answer('SessionAndRoutesResponse', {
    session: sessionPayload(session, below),
    routes: routesPayload(session.sandbox, below),
  });
}

export async function listSessions(cloud: Cloud, { url }: ApiRequest): Promise<Reply> {
  const name = url.searchParams.get('name');
  const records = name === null ? cloud.all() : cloud.all().filter((record) => record.name === name);
  const all = records.flatMap(({ sessions }) => [...sessions].reverse());
  const { items, pagination } = pageOf(all, url);
  const sessions: object[] = [];
  for (const session of items) sessions.push(await payloadOf(cloud, session));
  return answer('SessionsResponse', { sessions, pagination });
}

/** Stopping twice is not an error. */
export async function stopSession(cloud: Cloud, { names: [id = ''] }: ApiRequest): Promise<Reply> {
  const session = cloud.session(id);
  const { below, snapshot } = await cloud.stop(session, 'request');
  return answer('StopSessionResponse', {
    session: sessionPayload(session, below),
    sandbox: sandboxPayload(session.sandbox, below),
    snapshot: snapshot === null ? undefined : await cloud.snapshots.payloadOf(snapshot),
  });
}

export async function extendTimeout(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const session = await cloud.running(request.names[0] ?? '');
  const { duration } = await bodyOf(request, extendRequest);
  if (session.timeoutMs + duration > MAX_LIFE_MS)
    throw new ApiFailure(400, 'sandbox_timeout_invalid', `The timeout cannot exceed ${MAX_LIFE_MS} ms`);
  await cloud.extend(session, duration);
  return answer('SessionResponse', { session: await payloadOf(cloud, session) });
}

export async function setNetworkPolicy(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const session = await cloud.running(request.names[0] ?? '');
  await cloud.setPolicy(session, await bodyOf(request, policyRequest));
  return answer('SessionResponse', { session: await payloadOf(cloud, session) });
}
