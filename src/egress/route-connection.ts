/** Decides on one connection, then relays it. */

import { normalizeName } from '../shared/domains.ts';
import type { GatewayContext } from './connection/context.ts';
import { hasValidRequestLine } from './connection/detect-protocol.ts';
import { chooseAddress, DialError, dialThrough } from './connection/dial.ts';
import { refuseConnection } from './connection/refusal.ts';
import { type SniffResult, sniff } from './connection/sniff.ts';
import type { TrackedConnection } from './connection/tracked-connection.ts';
import { answerQuery, MAX_TCP_ANSWER } from './dns/answer-query.ts';
import { serveDnsOverTcp } from './dns/dns-tcp.ts';
import { serveHttp1 } from './http/http1-proxy.ts';
import { failureText, Malformed } from './http/request.ts';
import { matchesHeaderRules, parseSimpleRequest, serializeSimpleRequest } from './http/simple-request.ts';
import { plainRoute } from './http/upstream-route.ts';
import { parseAddress } from './policy/ip-ranges.ts';
import type { Decision } from './policy/policy.ts';
import { offersHttp } from './tls/offers-http.ts';

const DNS_PORT = 53;
const HTTP_PORT = 80;
/** Their servers speak first, so the gateway does not wait for the program to. */
const SERVER_FIRST_PORTS = new Set([21, 22, 23, 25, 110, 119, 143, 587, 2222, 3306, 5900]);
const SERVER_FIRST_WAIT_MS = 100;
const CLIENT_FIRST_PORTS = new Set([80, 443, 8080, 8443]);
const CLIENT_FIRST_WAIT_MS = 30_000;
const FIRST_BYTE_MS = 1_000;
const LONGEST_SILENCE_MS = 86_400_000;
/** Long enough for a refused program to send its first bytes, which identify the protocol. */
const REFUSED_WAIT_MS = 1_000;

/** @param hasHeaderRules a program that is slow to send its first bytes must not go without the headers */
function firstByteWait(port: number, hasHeaderRules: boolean): number {
  if (SERVER_FIRST_PORTS.has(port)) return SERVER_FIRST_WAIT_MS;
  return hasHeaderRules || CLIENT_FIRST_PORTS.has(port) ? CLIENT_FIRST_WAIT_MS : FIRST_BYTE_MS;
}

/** A server there could take anything else for HTTP, in a request that was never evaluated. */
const HTTP_PORT_RULE = 'only HTTP and TLS are allowed on port 80 of an allowed domain';

const denied = (rule: string): Decision => ({ allowed: false, rule });

/** Relays a connection to its end, or refuses it. Rejects only for defects. */
export async function routeConnection(tracked: TrackedConnection, context: GatewayContext): Promise<void> {
  const { address: text, port } = tracked.connection;
  const address = parseAddress(text);
  if (address === null || port < 1) {
    tracked.connection.reset();
    return;
  }
  if (port === DNS_PORT) {
    tracked.recordDecision('dns', [], { allowed: true, rule: 'answered by the gateway' });
    const stream = await tracked.connection.takeStream();
    if (stream === null) return;
    await serveDnsOverTcp(
      stream,
      (query) => answerQuery(query, context.policy(), context.names, MAX_TCP_ANSWER),
      context.log,
    );
    return;
  }
  const first = evaluateDestination(tracked, context);
  if (first.byAddress.allowed && !first.hasHeaderRules) {
    tracked.uninspectedNames = first.names;
    // A later policy may still allow it by the name that last led there.
    await relay(tracked, 'tcp', first.names.slice(0, 1), first.byAddress);
    return;
  }
  const sniffed = await sniff(
    tracked.connection,
    first.byName.allowed ? firstByteWait(port, first.hasHeaderRules) : REFUSED_WAIT_MS,
  );
  if (tracked.ended) return;
  // The policy may have changed by now.
  const judged = evaluateDestination(tracked, context);
  const { names, byAddress: direct, byName } = judged;
  const isAlwaysDenied = context.policy().mode !== 'custom' && !direct.allowed;
  if (isAlwaysDenied) refuse(tracked, sniffed, names, direct);
  else if (sniffed.protocol === 'tls') await routeTls(tracked, context, sniffed, judged);
  else if (sniffed.protocol === 'http') await routeHttp(tracked, context, sniffed);
  else if (direct.allowed) await relay(tracked, 'tcp', names.slice(0, 1), direct);
  else if (!byName.allowed) refuse(tracked, sniffed, names, byName);
  else if (sniffed.hasData && sniffed.protocol === null)
    refuse(tracked, sniffed, names, denied('the protocol could not be determined'));
  else if (port === HTTP_PORT && sniffed.protocol === 'opaque')
    refuse(tracked, sniffed, names, denied(HTTP_PORT_RULE));
  else if (sniffed.hasData) await relay(tracked, 'tcp', names, byName);
  else await relay(tracked, 'tcp', names, byName, (late) => routeLate(tracked, context, names, late));
}

/** Decides on the first bytes of a program that sent nothing before its server was dialled. They are held back. */
async function routeLate(
  tracked: TrackedConnection,
  context: GatewayContext,
  names: readonly string[],
  late: SniffResult,
): Promise<void> {
  if (late.protocol === 'http') return routeHttp(tracked, context, late);
  if (late.protocol !== 'opaque' && late.hasData && !isAllowedHello(late, context, names))
    tracked.terminate('the program sent the server name too late for a policy decision');
  else if (late.hasData && tracked.connection.port === HTTP_PORT) tracked.terminate(HTTP_PORT_RULE);
  else tracked.connection.release();
}

/**
 * Whether first bytes that come late are a TLS hello for one of the names, which no header rule applies to.
 */
function isAllowedHello(
  { hello }: SniffResult,
  { policy, refuseEch }: GatewayContext,
  names: readonly string[],
): boolean {
  if (hello?.kind !== 'hello' || (hello.encrypted && refuseEch)) return false;
  const name = normalizeName(hello.serverName ?? '');
  if (name === null || !names.includes(name)) return false;
  return policy().evaluateName(name).allowed && !policy().headers.appliesTo(name);
}

/** The verdicts on a connection by its destination, before its contents count. */
interface DestinationDecision {
  readonly names: readonly string[];
  readonly byName: Decision;
  /** Decides on the address only. */
  readonly byAddress: Decision;
  /** Whether rules may set headers on requests in it. */
  readonly hasHeaderRules: boolean;
}

function evaluateDestination(tracked: TrackedConnection, context: GatewayContext): DestinationDecision {
  const { address: text, port } = tracked.connection;
  const policy = context.policy();
  const names = context.names.namesFor(text);
  const address = parseAddress(text);
  const direct = tracked.evaluateAddress(policy);
  return {
    names,
    byName: direct.allowed || address === null ? direct : policy.evaluate(names, address, port),
    byAddress: direct,
    hasHeaderRules: names.some((name) => policy.headers.appliesTo(name)),
  };
}

/** A simple request is sent at once and the relay passes its response; others are proxied one by one. */
async function routeHttp(
  tracked: TrackedConnection,
  context: GatewayContext,
  sniffed: SniffResult,
): Promise<void> {
  if (!hasValidRequestLine(sniffed.bytes)) {
    const malformed = new Malformed('its request line is malformed');
    tracked.connection.endWith(Buffer.from(failureText(tracked, 'http', malformed)));
    return;
  }
  const route = plainRoute(tracked, context);
  const head = parseSimpleRequest(sniffed.bytes);
  if (head === null || matchesHeaderRules(head, context.policy().headers)) {
    const stream = await tracked.connection.takeStream();
    if (stream !== null) serveHttp1(tracked, context, route, stream);
    return;
  }
  try {
    const { server, path } = await route.target(head);
    tracked.setDestination(server);
    await dialThrough(tracked.connection, server, {
      request: serializeSimpleRequest(head, path, route.extra),
    });
  } catch (error) {
    if (tracked.ended) return;
    const text = failureText(tracked, 'http', error);
    if (error instanceof DialError && error.refusal === null) tracked.recordFailure(error.message);
    tracked.connection.endWith(Buffer.from(text));
  }
}

/** TLS is evaluated by the server name, and sent to an address that the gateway resolved for that name. */
async function routeTls(
  tracked: TrackedConnection,
  context: GatewayContext,
  sniffed: SniffResult,
  { names, byName, byAddress: direct }: DestinationDecision,
): Promise<void> {
  const hello = sniffed.hello;
  const shown = hello?.kind === 'hello' ? normalizeName(hello.serverName ?? '') : null;
  const hasHeaderRules = shown !== null && context.policy().headers.appliesTo(shown);
  if (direct.allowed && !hasHeaderRules) {
    tracked.uninspectedNames = shown === null ? [] : [shown];
    return relay(tracked, 'tls', tracked.uninspectedNames, direct);
  }
  if (hello?.kind !== 'hello')
    return refuse(tracked, sniffed, names, denied('the TLS client hello is malformed'));
  if (hello.encrypted && context.refuseEch) {
    const rule = 'the operator refuses the encrypted client hello extension (--egress-ech)';
    return refuse(tracked, sniffed, names, denied(rule));
  }
  if (hello.serverName === null) {
    return byName.allowed
      ? relay(tracked, 'tls', names, byName)
      : refuse(tracked, sniffed, names, denied(`${byName.rule}, and the TLS client sent no server name`));
  }
  const name = normalizeName(hello.serverName);
  if (name === null) return refuse(tracked, sniffed, [], denied('the TLS server name is not a host name'));
  const judged = context.policy().evaluateName(name);
  const decision = judged.allowed ? judged : direct;
  if (!decision.allowed) return refuse(tracked, sniffed, [name], judged);
  tracked.recordDecision('tls', [name], decision);
  if (hasHeaderRules && offersHttp(hello.protocols)) {
    if (context.tls === null)
      return refuse(
        tracked,
        sniffed,
        [name],
        denied('the sandbox was created before header rules were supported'),
      );
    // Few sandboxes have such rules, and this loads HTTP/2 and TLS.
    const { terminateTls } = await import('./tls/terminate.ts');
    return terminateTls(tracked, context, context.tls, { name, protocols: hello.protocols });
  }
  tracked.uninspectedNames = [name];
  try {
    const address = await chooseAddress(context, name, tracked.connection);
    await connectTo(tracked, address);
  } catch (error) {
    handleDialError(tracked, sniffed, error);
  }
}

/** Passes a connection to the exact address that it was made to. */
async function relay(
  tracked: TrackedConnection,
  protocol: 'tcp' | 'tls',
  names: readonly string[],
  decision: Decision,
  whenLate: RouteLate | null = null,
): Promise<void> {
  tracked.recordDecision(protocol, names, decision);
  try {
    await connectTo(tracked, tracked.connection.address, whenLate);
  } catch (error) {
    handleDialError(tracked, null, error);
  }
}

type RouteLate = (late: SniffResult) => Promise<void>;

/** @param whenLate if the program has sent nothing yet: decides on its first bytes before they are sent */
async function connectTo(
  tracked: TrackedConnection,
  address: string,
  whenLate: RouteLate | null = null,
): Promise<void> {
  const { connection } = tracked;
  tracked.setDestination(address);
  await dialThrough(connection, address, whenLate === null ? 'pass' : 'hold');
  if (whenLate === null || tracked.ended) return;
  const late = await sniff(connection, LONGEST_SILENCE_MS);
  if (!tracked.ended) await whenLate(late);
}

function refuse(
  tracked: TrackedConnection,
  sniffed: SniffResult | null,
  names: readonly string[],
  decision: Decision,
): void {
  const protocol = sniffed?.protocol ?? null;
  tracked.recordDecision(protocol === 'tls' || protocol === 'http' ? protocol : 'tcp', names, decision);
  refuseConnection(tracked.connection, protocol, decision.rule);
}

function handleDialError(tracked: TrackedConnection, sniffed: SniffResult | null, error: unknown): void {
  if (!(error instanceof DialError)) throw error;
  if (tracked.ended) return;
  if (error.refusal !== null) {
    tracked.recordDecision(
      tracked.entry.protocol,
      tracked.entry.domain === null ? [] : [tracked.entry.domain],
      error.refusal,
    );
    refuseConnection(tracked.connection, sniffed?.protocol ?? null, error.refusal.rule);
    return;
  }
  tracked.recordFailure(error.message);
  tracked.connection.reset();
}
