/**
 * HTTP requests that can be parsed and forwarded whole, so that the relay can pass their responses
 * uninspected.
 */
import type { HeaderRules } from '../policy/header-rules.ts';
import { headerValues, hostName, Malformed, type RequestHead } from './request.ts';
import { forwardedHeaders, framingOf } from './request-framing.ts';

/** More than a request needs: a larger one is parsed incrementally. */
const MAX_HEAD = 16_384;
const REQUEST_LINE = /^([A-Za-z]+) (\S+) HTTP\/1\.1$/;
/**
 * The value with surrounding whitespace, which `trimBlanks` removes: one expression for both takes cubic
 * time.
 */
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;
/** A request with one of these is more than a head and its response. */
const NOT_SIMPLE = new Set(['content-length', 'transfer-encoding', 'upgrade', 'expect', 'te', 'trailer']);

/**
 * Parses bytes that are exactly one request without a body, in a form that every parser reads alike. Null for
 * anything else, which may well be a valid request.
 */
export function parseSimpleRequest(bytes: Buffer): RequestHead | null {
  if (bytes.length > MAX_HEAD || bytes.indexOf('\r\n\r\n') !== bytes.length - 4) return null;
  const [line = '', ...lines] = bytes.subarray(0, -4).toString('latin1').split('\r\n');
  const [, method = '', url = ''] = REQUEST_LINE.exec(line) ?? [];
  const headers = lines.map((each) => HEADER_LINE.exec(each));
  if (method === '' || method === 'CONNECT' || !/^[\x21-\x7e]+$/.test(url)) return null;
  const rawHeaders: string[] = [];
  for (const header of headers) {
    if (header === null || NOT_SIMPLE.has(header[1]?.toLowerCase() ?? '')) return null;
    rawHeaders.push(header[1] ?? '', trimBlanks(header[2] ?? ''));
  }
  const head = { version: '1.1', method, url, rawHeaders };
  return headerValues(head, 'host').length === 1 && isPlain(head) ? head : null;
}

/** The value without leading and trailing spaces and tabs. */
function trimBlanks(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && isBlank(value[start])) start += 1;
  while (start < end && isBlank(value[end - 1])) end -= 1;
  return value.slice(start, end);
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

function isPlain(head: RequestHead): boolean {
  try {
    framingOf(head);
    return true;
  } catch (error) {
    if (error instanceof Malformed) return false;
    throw error;
  }
}

/** Whether rules may set headers on a request. */
export function matchesHeaderRules(head: RequestHead, rules: HeaderRules): boolean {
  return headerValues(head, 'host').some((value) => {
    const name = hostName(value);
    return name !== null && rules.appliesTo(name);
  });
}

/**
 * The same request as sent to its server.
 * @param extra has to ask the server to close after its response: the end of the connection ends the response
 */
export function serializeSimpleRequest(head: RequestHead, path: string, extra: readonly string[]): Buffer {
  const headers = forwardedHeaders(head, framingOf(head), new Map(), extra);
  const lines = [`${head.method} ${path} HTTP/1.1`];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
