/** Decides about one connection, then carries it. */

import { normalizeName } from '../shared/domains.ts';
import type { GatewayContext } from './connection/context.ts';
import { addressFor, dialThrough, NotDialled } from './connection/dial.ts';
import { refuse } from './connection/refusal.ts';
import { type Peeked, peek } from './connection/sniff.ts';
import type { Carried } from './connection/tracked-connection.ts';
import { answerQuery } from './dns/answer-query.ts';
import { serveDnsOverTcp } from './dns/dns-tcp.ts';
import { serveHttp } from './http/http1-proxy.ts';
import { failureText } from './http/request.ts';
import { concerned, loneRequest, readLoneRequest } from './http/simple-request.ts';
import { plainRoute } from './http/upstream-route.ts';
import { parseAddress } from './policy/ip-ranges.ts';
import type { Verdict } from './policy/policy.ts';
import { offersHttp, terminateTls } from './tls/terminate.ts';

const DNS_PORT = 53;
/** Their servers speak first, so that nobody waits here for the program to. */
const SERVER_FIRST_PORTS = new Set([21, 22, 23, 25, 110, 119, 143, 587, 2222, 3306, 5900]);
const SERVER_FIRST_WAIT_MS = 100;
const CLIENT_FIRST_PORTS = new Set([80, 443, 8080, 8443]);
const CLIENT_FIRST_WAIT_MS = 30_000;
const FIRST_BYTE_MS = 1_000;
const LONGEST_SILENCE_MS = 86_400_000;
/** Long enough for a program that was refused to have said what it is. */
const REFUSED_WAIT_MS = 1_000;

function firstByteWait(port: number): number {
  if (SERVER_FIRST_PORTS.has(port)) return SERVER_FIRST_WAIT_MS;
  return CLIENT_FIRST_PORTS.has(port) ? CLIENT_FIRST_WAIT_MS : FIRST_BYTE_MS;
}

const denied = (rule: string): Verdict => ({ allowed: false, rule });

/** Carries a connection to its end, or refuses it. Rejects only for defects. */
export async function carry(carried: Carried, context: GatewayContext): Promise<void> {
  const { address: text, port } = carried.connection;
  const address = parseAddress(text);
  if (address === null || port < 1) {
    carried.connection.cut();
    return;
  }
  if (port === DNS_PORT) {
    carried.judged('dns', [], { allowed: true, rule: 'answered by the gateway' });
    const stream = await carried.connection.take();
    if (stream === null) return;
    await serveDnsOverTcp(
      stream,
      (query) => answerQuery(query, context.policy(), context.names),
      context.log,
    );
    return;
  }
  const first = judge(carried, context);
  if (first.direct.allowed && !first.concerned) {
    carried.unseen = first.names;
    // By the name that led there last, a later policy may still allow it.
    await pass(carried, 'tcp', first.names.slice(0, 1), first.direct);
    return;
  }
  const seen = await peek(carried.connection, first.byName.allowed ? firstByteWait(port) : REFUSED_WAIT_MS);
  if (carried.ended) return;
  // The policy may be another by now.
  const judged = judge(carried, context);
  const { names, direct, byName } = judged;
  const hopeless = context.policy().mode !== 'custom' && !direct.allowed;
  if (hopeless) refused(carried, seen, names, direct);
  else if (seen.protocol === 'tls') await carryTls(carried, context, seen, judged);
  else if (seen.protocol === 'http') await carryHttp(carried, context, seen);
  else if (direct.allowed) await pass(carried, 'tcp', names.slice(0, 1), direct);
  else if (!byName.allowed) refused(carried, seen, names, byName);
  else if (seen.sent && seen.protocol === null)
    refused(carried, seen, names, denied('the protocol is not clear'));
  else await pass(carried, 'tcp', names, byName, !seen.sent);
}

/** The verdicts on a connection by where it goes, before what it says counts. */
interface Judged {
  readonly names: readonly string[];
  readonly byName: Verdict;
  /** On the address by itself. */
  readonly direct: Verdict;
  /** Whether requests in it may get headers. */
  readonly concerned: boolean;
}

function judge(carried: Carried, context: GatewayContext): Judged {
  const { address: text, port } = carried.connection;
  const policy = context.policy();
  const names = context.names.leadingTo(text);
  const address = parseAddress(text);
  const direct = carried.direct(policy);
  return {
    names,
    byName: direct.allowed || address === null ? direct : policy.judge(names, address, port),
    direct,
    concerned: names.some((name) => policy.headers.concern(name)),
  };
}

/** A request that stands alone goes out at once, and its answer comes back by itself; others are served one by one. */
async function carryHttp(carried: Carried, context: GatewayContext, seen: Peeked): Promise<void> {
  const route = plainRoute(carried, context);
  const head = readLoneRequest(seen.bytes);
  if (head === null || concerned(head, context.policy().headers)) {
    const stream = await carried.connection.take();
    if (stream !== null) serveHttp(carried, context, route, stream);
    return;
  }
  try {
    const { server, path } = await route.target(head);
    carried.carries(server);
    await dialThrough(carried.connection, server, { request: loneRequest(head, path, route.extra) });
  } catch (error) {
    if (carried.ended) return;
    const words = failureText(carried, 'http', error);
    if (error instanceof NotDialled && error.refusal === null) carried.failed(error.message);
    carried.connection.end(Buffer.from(words));
  }
}

/** TLS is judged by the name it asks for, and goes to where the gateway finds that name. */
async function carryTls(
  carried: Carried,
  context: GatewayContext,
  seen: Peeked,
  { names, byName, direct }: Judged,
): Promise<void> {
  const hello = seen.hello;
  const shown = hello?.kind === 'hello' && !hello.encrypted ? normalizeName(hello.serverName ?? '') : null;
  const concerned = shown !== null && context.policy().headers.concern(shown);
  if (direct.allowed && !concerned) {
    carried.unseen = shown === null ? [] : [shown];
    return pass(carried, 'tls', carried.unseen, direct);
  }
  if (hello?.kind !== 'hello')
    return refused(carried, seen, names, denied('the TLS client hello is malformed'));
  if (hello.encrypted) {
    return refused(carried, seen, names, denied('an encrypted client hello hides the name that it asks for'));
  }
  if (hello.serverName === null) {
    return byName.allowed
      ? pass(carried, 'tls', names, byName)
      : refused(carried, seen, names, denied(`${byName.rule}, and the TLS client names no server`));
  }
  const name = normalizeName(hello.serverName);
  if (name === null) return refused(carried, seen, [], denied('the TLS server name is no host name'));
  const judged = context.policy().judgeName(name);
  const verdict = judged.allowed ? judged : direct;
  if (!verdict.allowed) return refused(carried, seen, [name], judged);
  carried.judged('tls', [name], verdict);
  if (concerned && offersHttp(hello.protocols)) {
    if (context.tls === null)
      return refused(carried, seen, [name], denied('the sandbox was made before header rules were possible'));
    return terminateTls(carried, context, context.tls, { name, protocols: hello.protocols });
  }
  carried.unseen = [name];
  try {
    const address = await addressFor(context, name, carried.connection);
    await join(carried, address);
  } catch (error) {
    notDialled(carried, seen, error);
  }
}

/** Passes a connection to the very address that it was made to. */
async function pass(
  carried: Carried,
  protocol: 'tcp' | 'tls',
  names: readonly string[],
  verdict: Verdict,
  silent = false,
): Promise<void> {
  carried.judged(protocol, names, verdict);
  try {
    await join(carried, carried.connection.address, silent);
  } catch (error) {
    notDialled(carried, null, error);
  }
}

/** @param silent the program has sent nothing yet: what it sends is looked at before it goes on */
async function join(carried: Carried, address: string, silent = false): Promise<void> {
  const { connection } = carried;
  carried.carries(address);
  await dialThrough(connection, address, silent ? 'hold' : 'pass');
  if (!silent || carried.ended) return;
  const late = await peek(connection, LONGEST_SILENCE_MS);
  if (carried.ended) return;
  if (late.protocol !== 'opaque' && late.sent) carried.cut('the server was named too late to be judged');
  else connection.release();
}

function refused(carried: Carried, seen: Peeked | null, names: readonly string[], verdict: Verdict): void {
  const protocol = seen?.protocol ?? null;
  carried.judged(protocol === 'tls' || protocol === 'http' ? protocol : 'tcp', names, verdict);
  refuse(carried.connection, protocol, verdict.rule);
}

function notDialled(carried: Carried, seen: Peeked | null, error: unknown): void {
  if (!(error instanceof NotDialled)) throw error;
  if (carried.ended) return;
  if (error.refusal !== null) {
    carried.judged(
      carried.entry.protocol,
      carried.entry.domain === null ? [] : [carried.entry.domain],
      error.refusal,
    );
    refuse(carried.connection, seen?.protocol ?? null, error.refusal.rule);
    return;
  }
  carried.failed(error.message);
  carried.connection.cut();
}
