/** Replicas in one process, on one engine and one store: who serves a session, and who may end it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as streamText } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../../../src/registry/registry.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { FilesStore } from '../../../../src/shared/store/files-store.ts';
import { Replica } from '../../../../src/shared/store/replica.ts';
import { storeUnavailable } from '../../../../src/shared/store/store.ts';
import type { MemoryEngine } from '../../../fakes/memory-engine.ts';
import { defaultConfig, neverAborted, openWorld } from '../../../registry/support/registry.ts';
import { textOf } from '../../support/connected-server.ts';
import { connect, type HttpServer, INITIALIZE, post, startHttp } from '../support/http-server.ts';
import { connectNewest } from '../support/newest-client.ts';

const TOKENS = { ann: 'token-of-ann-0123456789', bob: 'token-of-bob-0123456789' };
const ENV = { SANDBOX_MCP_AUTH_TOKENS: `ann:${TOKENS.ann},bob:${TOKENS.bob}` };
const INFO = { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'session_info', arguments: {} } };

interface Started extends HttpServer {
  readonly replica: Replica;
}

const Info = z.looseObject({
  result: z.looseObject({
    structuredContent: z.looseObject({ session_id: z.string(), current_sandbox_id: z.string().nullable() }),
  }),
});

/** A store that can stop answering. */
class FailingStore extends FilesStore {
  isDown = false;
  /** How often it did not answer. */
  refused = 0;

  override read(collection: string, id: string): Promise<string | null> {
    return this.#unlessDown(() => super.read(collection, id));
  }

  override all(collection: string): Promise<Map<string, string>> {
    return this.#unlessDown(() => super.all(collection));
  }

  override swap(
    collection: string,
    id: string,
    before: string | null,
    after: string | null,
  ): Promise<boolean> {
    return this.#unlessDown(() => super.swap(collection, id, before, after));
  }

  async #unlessDown<Answer>(answer: () => Promise<Answer>): Promise<Answer> {
    if (!this.isDown) return answer();
    this.refused += 1;
    throw storeUnavailable(new Error('down'));
  }
}

/** The lease of a replica is renewed often, so that one that was lost is noticed soon. */
const TIMES = { leaseMs: 9_000, renewalMs: 20, marginMs: 2_000 };

/** Two replicas, and what they share. `now`: the monotonic clock of the first one. */
async function startTwo(now?: () => number) {
  const folder = await mkdtemp(join(tmpdir(), 'replicas-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const store = new FailingStore(join(folder, 'store'));
  const world = openWorld();
  const log = createLogger('silent');
  const start = async (monotonic?: () => number): Promise<Started> => {
    const { engine, stateDir } = world;
    const registry = createRegistry({
      engine,
      config: defaultConfig,
      log,
      clock: systemClock,
      stateDir,
      store,
    });
    const watched = monotonic && { now: monotonic, times: TIMES };
    const replica = new Replica({ store, log, clock: systemClock, ...watched });
    const server = await startHttp({ env: ENV, world: { ...world, registry }, replica });
    return { ...server, replica };
  };
  return { store, engine: world.engine, a: await start(now), b: await start() };
}

/** A session of ann at a replica, with a sandbox. */
async function annAt(server: HttpServer) {
  const { client, transport } = await connect(server, TOKENS.ann);
  const { structuredContent } = await client.callTool({ name: 'sandbox_create', arguments: {} });
  const { sandbox_id: sandboxId } = z.looseObject({ sandbox_id: z.string() }).parse(structuredContent);
  return { client, sandboxId, session: { 'mcp-session-id': transport.sessionId ?? '' } };
}

const as = (name: keyof typeof TOKENS) => ({ authorization: `Bearer ${TOKENS[name]}` });

async function infoAt(server: HttpServer, session: Record<string, string>) {
  const answer = await post(server, INFO, { ...as('ann'), ...session });
  const [, data = '{}'] = /^data: (\{.*)$/m.exec(await answer.text()) ?? [];
  return Info.parse(JSON.parse(data)).result.structuredContent;
}

/** How many sandboxes a replica counts as its own. */
async function countedAt({ url }: HttpServer): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^sandbox_mcp_in_use\{kind="sandboxes"\} (\d+)$/m.exec(text)?.[1]);
}

async function deleteAt({ url }: HttpServer, session: Record<string, string>): Promise<number> {
  return (await fetch(`${url}/mcp`, { method: 'DELETE', headers: { ...as('ann'), ...session } })).status;
}

async function statusOf(engine: MemoryEngine, sandboxId: string): Promise<string> {
  return (await engine.get(sandboxId, neverAborted)).status;
}

it('a request reaches the session at any replica, and nobody else’s', async () => {
  const { engine, a, b } = await startTwo();
  const { sandboxId, session } = await annAt(a);
  expect(await infoAt(b, session)).toEqual(await infoAt(a, session));
  expect(await infoAt(b, session)).toMatchObject({ current_sandbox_id: sandboxId });
  expect([await countedAt(a), await countedAt(b)]).toEqual([1, 0]);
  expect((await post(b, INFO, { ...as('bob'), ...session })).status).toBe(404);
  expect((await post(b, INFO, session)).status).toBe(401);
  expect((await post(b, INFO, { ...as('ann'), 'mcp-session-id': 'unknown' })).status).toBe(404);
  // What another replica adds is nothing that a client can add.
  const forged = { 'sandbox-mcp-forwarded': 'guessed' };
  expect((await post(b, INFO, { ...as('ann'), ...session, ...forged })).status).toBe(200);
  expect(await deleteAt(b, session)).toBe(200);
  expect(await statusOf(engine, sandboxId)).toBe('stopped');
  expect((await post(a, INFO, { ...as('ann'), ...session })).status).toBe(404);
});

it('a replica that ends in order leaves its sessions to the others', async () => {
  const { engine, a, b } = await startTwo();
  const { client, sandboxId, session } = await annAt(a);
  const waiting = client.callTool({ name: 'sandbox_run_command', arguments: { cmd: 'sleep' } });
  await expect.poll(() => engine.commands.list(sandboxId)).toHaveLength(1);
  const before = await infoAt(a, session);
  a.signal();
  // Ends the wait for running calls.
  a.signal();
  expect(textOf(await waiting)).toContain('Error (unavailable): The replica that ran sandbox_run_command');
  await a.ended;
  expect(await statusOf(engine, sandboxId)).toBe('running');
  expect(await engine.commands.list(sandboxId)).toMatchObject([{ status: 'running' }]);
  expect(await infoAt(b, session)).toEqual(before);
  expect(await deleteAt(b, session)).toBe(200);
  expect(await statusOf(engine, sandboxId)).toBe('stopped');
});

it('a replica that ends answers those whose connections it had not accepted yet', async () => {
  const { store, a } = await startTwo();
  const { hostname, port } = new URL(a.url);
  const secret = await store.read('replicas', 'secret');
  const body = JSON.stringify(INFO);
  const send = (more: string): Promise<string> => {
    const socket = connectSocket(Number(port), hostname);
    socket.write(
      `POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.ann}\r\n${more}` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    return streamText(socket);
  };
  const fromClients = Array.from({ length: 20 }, () => send(''));
  const fromReplica = send(`Sandbox-Mcp-Forwarded: ${secret}\r\n`);
  // The kernel has completed them now; this process accepts none before its next turn.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  a.signal();
  for (const answer of await Promise.all(fromClients)) {
    expect(answer).toMatch(/^HTTP\/1.1 503 /);
    expect(answer).not.toContain('sandbox-mcp-not-served');
  }
  // So that the other one tries again until it serves the session itself.
  expect(await fromReplica).toContain('sandbox-mcp-not-served: true');
  await a.ended;
  await expect(fetch(`${a.url}/healthz`)).rejects.toThrow();
});

it('a replica that does not know yet that others have taken over ends nothing', async () => {
  const { engine, store, a, b } = await startTwo();
  const { sandboxId, session } = await annAt(a);
  // The lease has run out for everybody but its holder.
  await store.release(`replica:${a.replica.id}`, a.url);
  expect(await infoAt(b, session)).toMatchObject({ current_sandbox_id: sandboxId });
  expect(a.replica.isCurrent()).toBe(true);
  // `a` still has the session, and ends what it has.
  expect(await deleteAt(a, session)).toBe(200);
  expect(await statusOf(engine, sandboxId)).toBe('running');
  expect(await infoAt(b, session)).toMatchObject({ current_sandbox_id: sandboxId });
});

it('requests without sessions reach what serves their conversation, and another replica continues it', async () => {
  const { engine, a, b } = await startTwo();
  const options = { mode: 'pin', token: TOKENS.ann } as const;
  const [atA, atB] = [await connectNewest(a, options), await connectNewest(b, options)];
  const { sandbox_id: sandboxId } = await atA.call('sandbox_create', {}, 'work');
  expect(await atB.call('sandbox_get', {}, 'work')).toMatchObject({ sandbox_id: sandboxId });
  expect(await atB.call('sandbox_get')).toMatchObject({ sandbox_id: sandboxId });
  const bob = await connectNewest(b, { mode: 'pin', token: TOKENS.bob });
  expect((await bob.call('sandbox_get', {}, 'work')).text).toContain('no current sandbox');
  const { session_id: sessionId } = await atA.call('session_info', {}, 'work');

  const waiting = atB.call('sandbox_run_command', { cmd: 'sleep' }, 'work');
  await expect.poll(() => engine.commands.list(String(sandboxId))).toHaveLength(1);
  engine.changeMs = 300;
  const creating = atA.call('sandbox_create', {}, 'work');
  await expect.poll(async () => (await engine.list()).items).toHaveLength(2);
  a.signal();
  a.signal();
  expect((await waiting).text).toContain('Error (unavailable): The replica that ran sandbox_run_command');
  expect((await creating).text).toContain('Error (unavailable): The replica that ran sandbox_create');
  await a.ended;
  engine.changeMs = 0;
  const info = await atB.call('session_info', {}, 'work');
  expect(info).toMatchObject({ session_id: sessionId, current_sandbox_id: sandboxId });
  expect(await engine.commands.list(String(sandboxId))).toMatchObject([{ status: 'running' }]);
  // It completes the create.
  const late = (await engine.list()).items.find((sandbox) => sandbox.sandboxId !== sandboxId)?.sandboxId;
  const lateStatus = async () => (await atB.call('sandbox_get', { sandbox_id: late }, 'work'))['status'];
  await expect.poll(lateStatus).toBe('running');
  expect(await countedAt(b)).toBe(2);
});

it('an outage of the store fails calls, and what was to end meanwhile ends afterwards', async () => {
  const { engine, store, a } = await startTwo();
  const { client, sandboxId, session } = await annAt(a);
  store.isDown = true;
  const listed = await client.callTool({ name: 'sandbox_list', arguments: {} });
  expect(textOf(listed)).toContain('Error (unavailable)');
  const refused = await post(a, INITIALIZE, as('ann'));
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  const { refused: before } = store;
  const deleted = deleteAt(a, session);
  await expect.poll(() => store.refused).toBeGreaterThan(before + 1);
  expect(await statusOf(engine, sandboxId)).toBe('running');
  store.isDown = false;
  expect(await deleted).toBe(200);
  expect(await statusOf(engine, sandboxId)).toBe('stopped');
  expect((await post(a, INFO, { ...as('ann'), ...session })).status).toBe(404);
});

it('a replica that has lost the store ends nothing, and serves its sessions again once it is back', async () => {
  let now = 0;
  const { engine, store, a } = await startTwo(() => now);
  const { sandboxId, session } = await annAt(a);
  const { id } = a.replica;
  store.isDown = true;
  now = TIMES.leaseMs;
  await expect.poll(async () => (await post(a, INFO, { ...as('ann'), ...session })).status).toBe(503);
  expect(await deleteAt(a, session)).toBe(503);
  store.isDown = false;
  // By then it has run out.
  await store.release(`replica:${id}`, a.url);
  await expect.poll(() => a.replica.isCurrent()).toBe(true);
  expect(await infoAt(a, session)).toMatchObject({ current_sandbox_id: sandboxId });
  expect(await statusOf(engine, sandboxId)).toBe('running');
});
