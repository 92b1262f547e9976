/**
 * One HTTP request under a policy: what it is evaluated by, which headers are forwarded, and the gateway's
 * own responses.
 */
import type { IncomingMessage } from 'node:http';
import { normalizeName } from '../../shared/domains.ts';
import { DialError } from '../connection/dial.ts';
import { httpResponse, refusalBody } from '../connection/refusal.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';

/** Hop-by-hop headers, not part of the request (RFC 9110, 7.6.1). */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'upgrade',
]);

/** A request that may not pass; its message is the rule. */
export class Refused extends Error {
  readonly status: 403 | 421;
  constructor(rule: string, status: 403 | 421 = 403) {
    super(rule);
    this.status = status;
  }
}

/** A request that others could parse differently: it is refused rather than guessed at. */
export class Malformed extends Error {}

/** A complete response in place of the server's. */
export interface Failure {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  /** True if the policy refused it; false if it failed. */
  readonly refused: boolean;
}

/** What comes before the body. Names and values alternate in `rawHeaders`, as they were sent. */
export interface RequestHead {
  /** The HTTP version: `1.1`. */
  readonly version: string;
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
}

/** The head of a request that Node has parsed. */
export function headOf(incoming: IncomingMessage): RequestHead {
  const { method = 'GET', url = '/', rawHeaders, httpVersion: version } = incoming;
  return { version, method, url, rawHeaders };
}

/** The values of a header, given by its lower-case name. */
export function headerValues({ rawHeaders }: RequestHead, name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}

/** The host that a request is for, and its target in origin form. */
export interface RequestTarget {
  readonly host: string;
  readonly path: string;
}

/** Records a refusal in the log. */
export function recordRefusal(
  tracked: TrackedConnection,
  protocol: 'http' | 'tls',
  names: readonly string[],
  rule: string,
  status: 403 | 421 = 403,
): Refused {
  tracked.recordDecision(protocol, names, { allowed: false, rule });
  return new Refused(rule, status);
}

/** The single host that a request names. Throws `Refused` if it names several or none. */
export function requestedHost(
  tracked: TrackedConnection,
  protocol: 'http' | 'tls',
  head: RequestHead,
): RequestTarget {
  const hosts = headerValues(head, 'host');
  const { url } = head;
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(url);
  const host = hostName(hosts[0]?.trim() ?? '');
  if (hosts.length !== 1 || host === null)
    throw recordRefusal(tracked, protocol, [], 'the request has no host or several hosts');
  if (absolute !== null && hostName(absolute[1] ?? '') !== host)
    throw recordRefusal(tracked, protocol, [host], 'the request has two different hosts');
  return { host, path: absolute === null ? url : originForm(absolute[2] ?? '') };
}

function originForm(rest: string): string {
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** The name in a `Host` header or an authority, without its port; null for an address or an invalid name. */
export function hostName(authority: string): string | null {
  const match = /^([^:@[\]]+)(:\d{1,5})?$/.exec(authority);
  return match === null ? null : normalizeName(match[1] ?? '');
}

/** The response headers to forward, except the one to leave out. */
export function endToEndHeaders(response: IncomingMessage, left = ''): string[] {
  const kept: string[] = [];
  for (let index = 0; index < response.rawHeaders.length; index += 2) {
    const name = response.rawHeaders[index] ?? '';
    const lower = name.toLowerCase();
    if (!HOP_BY_HOP.has(lower) && lower !== left) kept.push(name, response.rawHeaders[index + 1] ?? '');
  }
  return kept;
}

/** The gateway's own response. */
export function failureOf(tracked: TrackedConnection, protocol: 'http' | 'tls', error: unknown): Failure {
  if (error instanceof Refused) {
    const reason = error.status === 403 ? 'Forbidden' : 'Misdirected Request';
    return { status: error.status, reason, body: refusalBody(error.message), refused: true };
  }
  if (error instanceof Malformed) {
    tracked.recordFailure(error.message);
    const body = `The gateway does not forward this request: ${error.message}.\n`;
    return { status: 400, reason: 'Bad Request', body, refused: false };
  }
  if (error instanceof DialError && error.refusal !== null) {
    const { domain } = tracked.entry;
    tracked.recordDecision(protocol, domain === null ? [] : [domain], error.refusal);
    return { status: 403, reason: 'Forbidden', body: refusalBody(error.refusal.rule), refused: true };
  }
  const body = `${error instanceof Error ? error.message : 'The server did not answer'}.\n`;
  return { status: 502, reason: 'Bad Gateway', body, refused: false };
}

/** The same as a complete HTTP/1.1 response. */
export function failureText(tracked: TrackedConnection, protocol: 'http' | 'tls', error: unknown): string {
  const { status, reason, body, refused } = failureOf(tracked, protocol, error);
  return httpResponse(`${status} ${reason}`, body, refused);
}
