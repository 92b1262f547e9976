/** Lists of a project shared with others: read no further than needed, but to their end. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, ListQuery } from '../../../src/engines/engine.ts';
import { timeoutSignal } from '../../conformance/support/requests.ts';
import {
  SCRIPTED_CREDENTIALS,
  type ScriptedApi,
  type ScriptedRequest,
  scriptedSnapshot,
  startScriptedApi,
} from '../../fakes/vercel/scripted-api.ts';
import { type OpenedVercel, openVercelEngine } from './support/vercel-engines.ts';

const EVERYTHING: ListQuery = { limit: 20, since: null, until: null, cursor: null };
/** Epoch ms of the newest entry; each further one is a second older. */
const NEWEST = 1_790_000_000_000;
const ENTRIES = 400;

describe('a list of the vercel engine', () => {
  let api: ScriptedApi;
  let opened: OpenedVercel;
  let engine: Engine;
  /** Newest first. */
  let snapshots: { id: string; createdAt: number }[];

  beforeEach(async () => {
    api = await startScriptedApi();
    opened = await openVercelEngine({ url: api.url, credentials: SCRIPTED_CREDENTIALS }, { retryBaseMs: 1 });
    engine = opened.engine;
    snapshots = Array.from({ length: ENTRIES }, (_, n) =>
      scriptedSnapshot({ id: `snap_${String(n).padStart(6, '0')}`, createdAt: NEWEST - n * 1_000 }),
    );
    api.answers.push((request) =>
      request.path.endsWith('/snapshots') ? { body: pageOf('snapshots', snapshots, request) } : null,
    );
  });

  afterEach(async () => {
    await engine.close();
    await opened.remove();
    await api.close();
  });

  /** Its cursors count from the newest entry, so they shift whenever an entry is added or removed. */
  function pageOf(name: string, all: object[], { query }: ScriptedRequest): object {
    const start = Number(query.get('cursor') ?? 0);
    const end = start + Number(query.get('limit'));
    const pagination = { count: all.length, next: end < all.length ? String(end) : null };
    return { [name]: all.slice(start, end), pagination };
  }

  async function walk(between: () => void = () => {}): Promise<string[]> {
    const found: string[] = [];
    let { cursor } = EVERYTHING;
    do {
      const page = await engine.snapshots?.list({ ...EVERYTHING, cursor }, timeoutSignal());
      found.push(...(page?.items ?? []).map(({ snapshotId }) => snapshotId));
      cursor = page?.nextCursor ?? null;
      between();
    } while (cursor !== null);
    return found;
  }

  it('continues where it was, without reading all newer entries again', async () => {
    const ids = snapshots.map(({ id }) => id);
    expect(await walk()).toEqual(ids);
    // Twenty pages of ours, each out of one or two of the platform's.
    expect(api.requestsTo('GET', '/snapshots').length).toBeLessThanOrEqual(40);
  });

  it('misses nothing when newer entries are deleted meanwhile', async () => {
    const ids = snapshots.map(({ id }) => id);
    expect(await walk(() => void snapshots.splice(0, 15))).toEqual(ids);
  });

  it('restarts if the platform no longer accepts an earlier cursor', async () => {
    let isFirst = true;
    let refused = 0;
    api.answers.unshift(({ path, query }) => {
      const isMarked = isFirst && query.has('cursor');
      if (!path.endsWith('/snapshots')) return null;
      isFirst = false;
      if (!isMarked) return null;
      refused += 1;
      return { status: 400, body: { error: { code: 'bad_request', message: 'Invalid cursor' } } };
    });
    const ids = snapshots.map(({ id }) => id);
    const found = await walk(() => {
      isFirst = true;
    });
    expect(found).toEqual(ids);
    expect(refused).toBeGreaterThan(5);
  });

  it('fails if the pages do not end', async () => {
    api.answers.unshift(({ path, query }) =>
      path.endsWith('/snapshots')
        ? { body: { snapshots: [], pagination: { count: 0, next: query.get('cursor') ?? 'again' } } }
        : null,
    );
    await expect(engine.snapshots?.list(EVERYTHING, timeoutSignal())).rejects.toMatchObject({
      code: 'server',
    });
  });

  it('reads no further back than since, even if all entries belong to others', async () => {
    const others = Array.from({ length: ENTRIES }, (_, n) => ({
      name: `theirs-${n}`,
      persistent: true,
      createdAt: NEWEST - n * 1_000,
      updatedAt: NEWEST,
      currentSessionId: `ses_${n}`,
      status: 'running',
    }));
    api.answers.push((request) =>
      request.method === 'GET' && request.path.endsWith('/v2/sandboxes')
        ? { body: pageOf('sandboxes', others, request) }
        : null,
    );
    const since = NEWEST - 60_000;
    expect(await engine.list({ ...EVERYTHING, since }, timeoutSignal())).toEqual({
      items: [],
      nextCursor: null,
    });
    expect(api.requestsTo('GET', '/v2/sandboxes')).toHaveLength(2);
  });
});
