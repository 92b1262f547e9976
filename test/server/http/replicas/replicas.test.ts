/** Replicas in one process, on one engine and one store: who serves a session, and who may end it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../../../src/registry/registry.ts';
import { systemClock } from '../../../../src/shared/clock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { FilesStore } from '../../../../src/shared/store/files-store.ts';
import { Replica } from '../../../../src/shared/store/replica.ts';
import type { MemoryEngine } from '../../../fakes/memory-engine.ts';
import { defaultConfig, neverAborted, openWorld } from '../../../registry/support/registry.ts';
import { connect, type HttpServer, post, startHttp } from '../support/http-server.ts';

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

/** Two replicas, and what they share. */
async function startTwo() {
  const folder = await mkdtemp(join(tmpdir(), 'replicas-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const store = new FilesStore(join(folder, 'store'));
  const world = openWorld();
  const log = createLogger('silent');
  const start = async (): Promise<Started> => {
    const { engine, stateDir } = world;
    const registry = createRegistry({
      engine,
      config: defaultConfig,
      log,
      clock: systemClock,
      stateDir,
      store,
    });
    const replica = new Replica({ store, log, clock: systemClock });
    const server = await startHttp({ env: ENV, world: { ...world, registry }, replica });
    return { ...server, replica };
  };
  return { store, engine: world.engine, a: await start(), b: await start() };
}

/** A session of ann at a replica, with a sandbox. */
async function annAt(server: HttpServer) {
  const { client, transport } = await connect(server, TOKENS.ann);
  const { structuredContent } = await client.callTool({ name: 'sandbox_create', arguments: {} });
  const { sandbox_id: sandboxId } = z.looseObject({ sandbox_id: z.string() }).parse(structuredContent);
  return { sandboxId, session: { 'mcp-session-id': transport.sessionId ?? '' } };
}

const as = (name: keyof typeof TOKENS) => ({ authorization: `Bearer ${TOKENS[name]}` });

async function infoAt(server: HttpServer, session: Record<string, string>) {
  const answer = await post(server, INFO, { ...as('ann'), ...session });
  const [, data = '{}'] = /^data: (\{.*)$/m.exec(await answer.text()) ?? [];
  return Info.parse(JSON.parse(data)).result.structuredContent;
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
  const { sandboxId, session } = await annAt(a);
  const before = await infoAt(a, session);
  a.signal();
  await a.ended;
  expect(await statusOf(engine, sandboxId)).toBe('running');
  expect(await infoAt(b, session)).toEqual(before);
  expect(await deleteAt(b, session)).toBe(200);
  expect(await statusOf(engine, sandboxId)).toBe('stopped');
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
