/** HTTP requests that can be read and sent on whole, so that their answers pass without anybody here looking at them. */
import type { HeaderRules } from '../policy/header-rules.ts';
import { headerValues, hostName, Malformed, type RequestHead } from './request.ts';
import { forwardedHeaders, framingOf } from './request-framing.ts';

/** More than a request needs: what is larger is read piece by piece. */
const MAX_HEAD = 16_384;
const REQUEST_LINE = /^([A-Za-z]+) (\S+) HTTP\/1\.1$/;
/** The value with the blanks around it, which `trimBlanks` removes: an expression that does both takes cubic time. */
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;
/** With one of these there is more to it than a head and its answer. */
const NOT_SIMPLE = new Set(['content-length', 'transfer-encoding', 'upgrade', 'expect', 'te', 'trailer']);

/**
 * Reads bytes that are one whole request without a body, written so plainly that nobody can read them differently. Null for
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

/** The value without the spaces and tabs at its ends. */
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

/** Whether a request may get headers. */
export function matchesHeaderRules(head: RequestHead, rules: HeaderRules): boolean {
  return headerValues(head, 'host').some((value) => {
    const name = hostName(value);
    return name !== null && rules.appliesTo(name);
  });
}

/**
 * The same request to its server.
 * @param extra has to ask the server to close after its answer: its end is the answer's end
 */
export function serializeSimpleRequest(head: RequestHead, path: string, extra: readonly string[]): Buffer {
  const headers = forwardedHeaders(head, framingOf(head), new Map(), extra);
  const lines = [`${head.method} ${path} HTTP/1.1`];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
