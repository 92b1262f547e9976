/** Where an HTTP/1 request ends: understood in one way or not at all, and said anew to the server. */
import { NOT_SETTABLE } from '../policy/header-rules.ts';
import { HOP_BY_HOP, headerValues, Malformed, type RequestHead } from './request.ts';

/** Methods whose requests are taken for requests without a body, so that a server may not read one (RFC 9110, 9.3). */
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']);
/** A `Connection` that names one of these would take away what says whom a request is for, and where it ends. */
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
/** Numbers that everybody counts to alike. */
const LENGTH = /^\d{1,15}$/;

/** How the end of a request is found. */
export interface Framing {
  readonly hasBody: boolean;
  readonly chunked: boolean;
  /** A body that a server may leave unread, and take for the next request. */
  readonly doubtful: boolean;
  /** What says the same to the server: names and values take turns. */
  readonly headers: readonly string[];
}

/** Reads what a request says about its end (RFC 9112, 6.3). Throws `Malformed` where there is more than one answer. */
export function framingOf(head: RequestHead): Framing {
  checkHeaders(head);
  const lengths = headerValues(head, 'content-length').map((value) => value.trim());
  const codings = headerValues(head, 'transfer-encoding').map((value) => value.trim().toLowerCase());
  const [length = '0'] = lengths;
  if (codings.length > 0 && lengths.length > 0)
    throw new Malformed('it has both Content-Length and Transfer-Encoding');
  if (lengths.length > 1) throw new Malformed('it has several Content-Length headers');
  if (!LENGTH.test(length)) throw new Malformed('its Content-Length is no plain number');
  if (codings.length > 0 && (codings.join(',') !== 'chunked' || head.version !== '1.1'))
    throw new Malformed('its Transfer-Encoding is another than chunked');
  const chunked = codings.length > 0;
  const hasBody = chunked || Number(length) > 0;
  const bodiless = BODILESS.has(head.method);
  const plain = lengths.length > 0 || !bodiless ? ['Content-Length', length] : [];
  const headers = chunked ? ['Transfer-Encoding', 'chunked'] : plain;
  return { hasBody, chunked, doubtful: hasBody && bodiless, headers };
}

function checkHeaders(head: RequestHead): void {
  if (head.version !== '1.1' && head.version !== '1.0')
    throw new Malformed(`it is of HTTP/${head.version}, not of HTTP/1.1`);
  for (let index = 0; index < head.rawHeaders.length; index += 2) {
    if (!NAME.test(head.rawHeaders[index] ?? '') || !VALUE.test(head.rawHeaders[index + 1] ?? ''))
      throw new Malformed('one of its headers has a character that no header may have');
  }
  const taken = connectionOptions(head).find((name) => NEVER_LOCAL.has(name));
  if (taken !== undefined) throw new Malformed(`its Connection header names ${taken}`);
}

/** What `Connection` says is meant for the gateway alone (RFC 9110, 7.6.1). */
function connectionOptions(head: RequestHead): string[] {
  const values = headerValues(head, 'connection').join(',').split(',');
  return values.map((token) => token.trim().toLowerCase());
}

/** The headers that go on with a request: its own without those that `set` replaces, these, its framing, then `extra`. */
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

/** Whether a field may come after a body: servers may treat it as a header (RFC 9110, 6.5.1). */
export function isTrailerAllowed(name: string, set: ReadonlyMap<string, string>): boolean {
  const lower = name.toLowerCase();
  return !NOT_SETTABLE.has(lower) && !set.has(lower);
}
