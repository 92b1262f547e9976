/**
 * A stand-in for the API of Vercel's sandboxes: its wire format over real HTTP, its sandboxes in the `oci`
 * engine.
 *
 * Every answer passes the SDK's own validators before it is sent. It misbehaves on command (`faults`), and
 * counts what was really done, so that a test can tell a call that was answered from one that had an effect.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { anySignal } from '../../../src/shared/async/any-signal.ts';
import { openOciEngines } from '../../engines/oci/support/oci-engines.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { MemorySnapshots } from '../memory-snapshots.ts';
import { handlersOf } from './calls/handlers.ts';
import { Terminals } from './calls/interactive.ts';
import { Cloud, type Deeds } from './cloud/cloud.ts';
import {
  ClientDisconnected,
  misbehaveAfter,
  misbehaveBefore,
  type Writing,
  write,
} from './wire/answer-wire.ts';
import { actsBefore, FaultPlan } from './wire/faults.ts';
import { type Operation, route } from './wire/operations.ts';
import { ApiFailure, type ApiRequest, failureReply, type Reply } from './wire/reply.ts';
import { loadWireCheck } from './wire/validators.ts';

/** The platform's limit on the duration of a stream. */
const STREAM_LIMIT_MS = 300_000;

export interface Credentials {
  /** The only valid one; a test may replace it. */
  token: string;
  teamId: string;
  projectId: string;
}

/** One request, in the order they came. */
export interface ApiCall {
  operation: Operation;
  /** The fault applied to it, or null. */
  fault: string | null;
  /** Null while it is in progress, and if no status was ever sent. */
  status: number | null;
}

export interface VercelApi {
  /** For `--vercel-api-url`. */
  readonly url: string;
  readonly credentials: Credentials;
  readonly faults: FaultPlan;
  readonly calls: readonly ApiCall[];
  readonly deeds: Deeds;
  /** The body of each request, if it was JSON. */
  readonly bodies: readonly { operation: Operation; body: unknown }[];
  /**
   * Resolves when all requested work is done, even if nobody waits for it any longer; waiting for commands
   * excepted.
   */
  settled(): Promise<void>;
  /** Names of the running, billable sandboxes. */
  alive(): Promise<string[]>;
  /** Lets the deadline of a persistent sandbox come now; resolves once its session has ended. */
  passDeadline(name: string): Promise<void>;
  /** Lets this much time pass for sandboxes in memory, which end at their deadlines. */
  passTime(ms: number): void;
  /** Answers that the SDK's validators do not accept; a test fails on any. */
  readonly violations: readonly string[];
  /** The working directory of the sandboxes that are created next. */
  cwd: string;
  /** How long the platform lets a stream or a wait last; a stream is cut in the middle of a line. */
  streamLimitMs: number;
  /** How long a change of a sandbox takes; only for those in memory, which change at once by default. */
  changeMs: number;
  /** Closes every connection, and ends every sandbox. */
  close(): Promise<void>;
}

/**
 * @param sandboxes `memory` for tests in which nothing has to run in a sandbox: it is then only an entry of a
 *   map, which spares the machine a container
 */
export async function startVercelApi(sandboxes: 'containers' | 'memory' = 'containers'): Promise<VercelApi> {
  let passedMs = 0;
  const memory = sandboxes === 'memory' ? openMemoryEngine(() => Date.now() + passedMs) : null;
  const below = memory === null ? await openOciEngines() : { engine: memory, close: () => memory.close() };
  const credentials = {
    token: `tok_${randomBytes(8).toString('hex')}`,
    teamId: 'team_stand_in',
    projectId: 'prj_stand_in',
  };
  const faults = new FaultPlan();
  const calls: ApiCall[] = [];
  const bodies: { operation: Operation; body: unknown }[] = [];
  const violations: string[] = [];
  const cloud = new Cloud(below.engine, (error) => violations.push(`the stand-in failed: ${String(error)}`));
  const limits = { streamMs: STREAM_LIMIT_MS };
  const server = createServer();
  const origin = (): string => `http://127.0.0.1:${portOf(server.address())}`;
  const terminals = new Terminals(cloud, origin);
  const handlers = handlersOf(cloud, terminals, credentials.projectId);
  const underWay = new Set<Promise<unknown>>();
  const check = await loadWireCheck();

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', origin());
    const limit = AbortSignal.timeout(limits.streamMs);
    const writing: Writing = { check, violated: (sentence) => violations.push(sentence), limit };
    if (url.pathname === '/health') return write(plain(200, {}), response, writing);
    const routed = route(request.method ?? 'GET', url);
    if (routed === null)
      return write(failureReply(404, 'not_found', `No route for ${request.url}`), response, writing);
    const fault = faults.take(routed.operation);
    const call: ApiCall = {
      operation: routed.operation,
      fault: fault ? String(fault.kind) : null,
      status: null,
    };
    calls.push(call);
    response.once('close', () => {
      call.status = response.headersSent ? response.statusCode : null;
    });
    if (fault !== null && actsBefore(fault.kind)) return misbehaveBefore(fault, request, response, writing);
    const disconnect = new AbortController();
    response.once('close', () => disconnect.abort());
    const refused = refusalOf(request, url, credentials);
    const working = work(
      limit,
      async () =>
        refused ??
        handlers[routed.operation](noting(bodies, apiRequest(routed, request, url, disconnect, limit))),
    );
    if (routed.operation !== 'command.wait') {
      underWay.add(working);
      void working.catch(() => {}).finally(() => underWay.delete(working));
    }
    const reply = await working;
    if (fault !== null) return misbehaveAfter(fault, reply, response, writing);
    return write(reply, response, writing);
  };
  server.on('request', (request, response) => {
    // A client may disconnect at any time; everything else is a defect of the stand-in.
    serve(request, response).catch((error: unknown) => {
      if (!response.destroyed && !(error instanceof ClientDisconnected))
        violations.push(`the stand-in failed: ${String(error)}`);
      response.destroy();
    });
  });
  server.on('upgrade', (request, socket, head) => terminals.upgrade(request, socket, head));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `${origin()}/api`,
    credentials,
    faults,
    calls,
    deeds: cloud.deeds,
    bodies,
    violations,
    async settled() {
      await Promise.allSettled(underWay);
    },
    alive: () => cloud.alive(),
    passDeadline: (name) => cloud.passDeadline(name),
    passTime(ms) {
      passedMs += ms;
    },
    get cwd() {
      return cloud.cwd;
    },
    set cwd(value: string) {
      cloud.cwd = value;
    },
    get streamLimitMs() {
      return limits.streamMs;
    },
    set streamLimitMs(value: number) {
      limits.streamMs = value;
    },
    get changeMs() {
      return memory?.changeMs ?? 0;
    },
    set changeMs(value: number) {
      if (memory !== null) memory.changeMs = value;
    },
    async close() {
      terminals.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await cloud.end();
      await below.close();
    },
  };
}

function openMemoryEngine(now: () => number): MemoryEngine {
  const engine = new MemoryEngine(now);
  engine.snapshots = new MemorySnapshots(engine, now);
  return engine;
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function plain(status: number, body: unknown): Reply {
  return { kind: 'json', status, body, validator: null };
}

/** The service's response to invalid credentials, or those of another team or project. */
function refusalOf(request: IncomingMessage, url: URL, credentials: Credentials): Reply | null {
  if (request.headers.authorization !== `Bearer ${credentials.token}`)
    return failureReply(403, 'forbidden', 'Not authorized', { invalidToken: true });
  if (url.searchParams.get('teamId') !== credentials.teamId)
    return failureReply(403, 'forbidden', 'You do not have access to this team');
  const project = url.searchParams.get('projectId') ?? url.searchParams.get('project');
  if (project !== null && project !== credentials.projectId)
    return failureReply(404, 'not_found', 'Project not found');
  return null;
}

function apiRequest(
  routed: { operation: Operation; names: string[] },
  request: IncomingMessage,
  url: URL,
  disconnect: AbortController,
  limit: AbortSignal,
): ApiRequest {
  const header = (name: string): string | null => {
    const value = request.headers[name];
    return typeof value === 'string' ? value : null;
  };
  return {
    ...routed,
    url,
    header,
    async json() {
      if (request.headers['content-length'] === '0' || !hasBody(request)) return {};
      return json(request);
    },
    bytes: request,
    signal: anySignal([disconnect.signal, limit]),
  };
}

function noting(bodies: { operation: Operation; body: unknown }[], request: ApiRequest): ApiRequest {
  const { operation } = request;
  return {
    ...request,
    async json() {
      const body = await request.json();
      bodies.push({ operation, body });
      return body;
    },
  };
}

function hasBody(request: IncomingMessage): boolean {
  return (
    request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
  );
}

async function work(limit: AbortSignal, handler: () => Promise<Reply>): Promise<Reply> {
  try {
    return await handler();
  } catch (error) {
    if (limit.aborted)
      return plain(504, 'An error occurred with your deployment: FUNCTION_INVOCATION_TIMEOUT');
    if (!(error instanceof ApiFailure)) throw error;
    return failureReply(error.status, error.code, error.message);
  }
}
