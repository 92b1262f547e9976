/** HTTP requests under a policy: where one goes, what of it goes there, and what is answered where it may not. */
import type { Carried } from './carried.ts';
import type { GatewayContext } from './context.ts';
import { addressFor, NotDialled } from './dial.ts';
import { normalizeName } from './domains.ts';
import { httpAnswer, refusalBody } from './refusal.ts';

/** Headers that are between two neighbours, not part of the request (RFC 9110, 7.6.1). */
export const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'upgrade',
]);

class Refused extends Error {}

export interface Target {
  readonly address: string;
  readonly path: string;
}

/** What comes before the body. Names and values take turns in `rawHeaders`, as they were sent. */
export interface RequestHead {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
}

/** The values of a header, whose name is given in lower case. */
function headerValues({ rawHeaders }: RequestHead, name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}

/** Where a request goes. Throws `Refused`, or `NotDialled`. */
export async function targetOf(
  carried: Carried,
  context: GatewayContext,
  head: RequestHead,
): Promise<Target> {
  const hosts = headerValues(head, 'host');
  const { url } = head;
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(url);
  const host = hostName(hosts[0]?.trim() ?? '');
  if (hosts.length !== 1 || host === null)
    throw refuseBy(carried, [], 'the request names no host, or several');
  if (absolute !== null && hostName(absolute[1] ?? '') !== host) {
    throw refuseBy(carried, [host], 'the request names two different hosts');
  }
  const verdict = context.policy().judgeName(host);
  carried.judged('http', [host], verdict);
  if (!verdict.allowed) throw new Refused(verdict.rule);
  const address = await addressFor(context, host, carried.connection);
  return { address, path: absolute === null ? url : absolute[2] || '/' };
}

function refuseBy(carried: Carried, names: string[], rule: string): Refused {
  carried.judged('http', names, { allowed: false, rule });
  return new Refused(rule);
}

/** The name in a `Host` header or an authority, without its port; null for an address or anything odd. */
function hostName(authority: string): string | null {
  const match = /^([^:@[\]]+)(:\d{1,5})?$/.exec(authority);
  return match === null ? null : normalizeName(match[1] ?? '');
}

/** The headers that go on to the server, with those of this hop. */
export function onward(head: RequestHead, extra: readonly string[]): string[] {
  const named = headerValues(head, 'connection')
    .join(',')
    .split(',')
    .map((token) => token.trim().toLowerCase());
  const kept: string[] = [];
  for (let index = 0; index < head.rawHeaders.length; index += 2) {
    const name = head.rawHeaders[index] ?? '';
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || lower === 'expect' || (named.includes(lower) && lower !== 'host')) continue;
    kept.push(name, head.rawHeaders[index + 1] ?? '');
  }
  return [...kept, ...extra];
}

/** The answer to a request that does not go anywhere. */
export function failureText(carried: Carried, error: unknown): string {
  if (error instanceof Refused) return httpAnswer('403 Forbidden', refusalBody(error.message));
  if (error instanceof NotDialled && error.refusal !== null) {
    carried.judged('http', carried.entry.domain === null ? [] : [carried.entry.domain], error.refusal);
    return httpAnswer('403 Forbidden', refusalBody(error.refusal.rule));
  }
  return httpAnswer(
    '502 Bad Gateway',
    `${error instanceof Error ? error.message : 'The server did not answer'}.\n`,
  );
}

/** More than a request needs: what is larger is read piece by piece. */
const MAX_HEAD = 16_384;
const REQUEST_LINE = /^([A-Za-z]+) (\S+) HTTP\/1\.1$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
/** With one of these there is more to it than a head and its answer. */
const NOT_ALONE = new Set(['content-length', 'transfer-encoding', 'upgrade', 'expect', 'te', 'trailer']);

/**
 * Reads bytes that are one whole request without a body, written so plainly that nobody can read them differently. Null for
 * anything else, which may well be a valid request.
 */
export function readLoneRequest(bytes: Buffer): RequestHead | null {
  if (bytes.length > MAX_HEAD || bytes.indexOf('\r\n\r\n') !== bytes.length - 4) return null;
  const [line = '', ...lines] = bytes.subarray(0, -4).toString('latin1').split('\r\n');
  const [, method = '', url = ''] = REQUEST_LINE.exec(line) ?? [];
  const headers = lines.map((each) => HEADER_LINE.exec(each));
  if (method === '' || method === 'CONNECT' || !/^[\x21-\x7e]+$/.test(url)) return null;
  const rawHeaders: string[] = [];
  for (const header of headers) {
    if (header === null || NOT_ALONE.has(header[1]?.toLowerCase() ?? '')) return null;
    rawHeaders.push(header[1] ?? '', header[2] ?? '');
  }
  return { method, url, rawHeaders };
}

/** The same request to its server, which is to close after its answer: its end is the answer's end. */
export function loneRequest(head: RequestHead, path: string): Buffer {
  const headers = onward(head, ['Connection', 'close']);
  const lines = [`${head.method} ${path} HTTP/1.1`];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
