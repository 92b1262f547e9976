/** Where an HTTP/1 request ends: parsed unambiguously or refused, and framed again for the server. */
import { NOT_SETTABLE } from '../policy/header-rules.ts';
import { HOP_BY_HOP, headerValues, Malformed, type RequestHead } from './request.ts';

/** Methods that usually have no body, so that a server may not read one (RFC 9110, 9.3). */
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);
/** A `Connection` header that names one of these would remove the request's host or its length. */
const NEVER_LOCAL = new Set([
  'connection',
  'host',
  'content-length',
  'transfer-encoding',
  'trailer',
  'expect',
]);
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, 5.5, as bytes of one octet each. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Numbers that every implementation parses alike. */
const LENGTH = /^\d{1,15}$/;

/** How the end of a request is determined. */
export interface Framing {
  readonly hasBody: boolean;
  readonly chunked: boolean;
  /** True for a body that a server may leave unread, and take for the next request. */
  readonly doubtful: boolean;
  /** The equivalent headers for the server: names and values alternate. */
  readonly headers: readonly string[];
}

/** Parses the framing of a request (RFC 9112, 6.3). Throws `Malformed` if it is ambiguous. */
export function framingOf(head: RequestHead): Framing {
  checkHeaders(head);
  const lengths = headerValues(head, 'content-length').map((value) => value.trim());
  const codings = headerValues(head, 'transfer-encoding').map((value) => value.trim().toLowerCase());
  const [length = '0'] = lengths;
  if (codings.length > 0 && lengths.length > 0)
    throw new Malformed('it has both Content-Length and Transfer-Encoding');
  if (lengths.length > 1) throw new Malformed('it has several Content-Length headers');
  if (!LENGTH.test(length)) throw new Malformed('its Content-Length is not a plain number');
  if (codings.length > 0 && (codings.join(',') !== 'chunked' || head.version !== '1.1'))
    throw new Malformed('its Transfer-Encoding is not chunked');
  const chunked = codings.length > 0;
  const hasBody = chunked || Number(length) > 0;
  const bodiless = BODILESS.has(head.method);
  const plain = lengths.length > 0 || !bodiless ? ['Content-Length', length] : [];
  const headers = chunked ? ['Transfer-Encoding', 'chunked'] : plain;
  return { hasBody, chunked, doubtful: hasBody && bodiless, headers };
}

function checkHeaders(head: RequestHead): void {
  if (head.version !== '1.1' && head.version !== '1.0')
    throw new Malformed(`it is HTTP/${head.version}, not HTTP/1.1`);
  for (let index = 0; index < head.rawHeaders.length; index += 2) {
    if (!NAME.test(head.rawHeaders[index] ?? '') || !VALUE.test(head.rawHeaders[index + 1] ?? ''))
      throw new Malformed('one of its headers contains an invalid character');
  }
  const taken = connectionOptions(head).find((name) => NEVER_LOCAL.has(name));
  if (taken !== undefined) throw new Malformed(`its Connection header names ${taken}`);
}

/** The headers that `Connection` lists are meant for the gateway only (RFC 9110, 7.6.1). */
function connectionOptions(head: RequestHead): string[] {
  const values = headerValues(head, 'connection').join(',').split(',');
  return values.map((token) => token.trim().toLowerCase());
}

/**
 * The headers to forward: the request's own without those that `set` replaces, then `set`, its framing and
 * `extra`.
 */
export function forwardedHeaders(
  head: RequestHead,
  framing: Framing,
  set: ReadonlyMap<string, string>,
  extra: readonly string[],
): string[] {
  const dropped = new Set([
    ...HOP_BY_HOP,
    ...connectionOptions(head),
    ...set.keys(),
    ...['content-length', 'transfer-encoding', 'expect'],
    ...(framing.chunked ? [] : ['trailer']),
  ]);
  const kept: string[] = [];
  for (let index = 0; index < head.rawHeaders.length; index += 2) {
    const name = head.rawHeaders[index] ?? '';
    if (!dropped.has(name.toLowerCase())) kept.push(name, head.rawHeaders[index + 1] ?? '');
  }
  return [...kept, ...[...set].flat(), ...framing.headers, ...extra];
}

/** Whether a field may be sent as a trailer: servers may treat it as a header (RFC 9110, 6.5.1). */
export function isTrailerAllowed(name: string, set: ReadonlyMap<string, string>): boolean {
  const lower = name.toLowerCase();
  return !NOT_SETTABLE.has(lower) && !set.has(lower);
}
