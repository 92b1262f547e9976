/** Parses the requests of a connection according to RFC 9112, strictly where it leaves a choice. */

export interface ReadRequest {
  /** The request line without its version. */
  readonly line: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Throws for a request that is incomplete, defines its length twice, or repeats a header. */
export function requestsIn(text: string): ReadRequest[] {
  const requests: ReadRequest[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [line = '', ...fields] = rest.slice(0, Math.max(end, 0)).split('\r\n');
    const match = /^([A-Z]+ \S+) HTTP\/1\.1$/.exec(line);
    if (end < 0 || match === null) throw new Error(`no request: ${JSON.stringify(rest.slice(0, 200))}`);
    const headers = new Map(fields.map((field) => splitField(field)));
    if (headers.size < fields.length) throw new Error(`a repeated header: ${fields.join(' | ')}`);
    const read = bodyOf(rest.slice(end + 4), headers);
    requests.push({ line: match[1] ?? '', headers, body: read.body });
    rest = read.rest;
  }
  return requests;
}

function splitField(field: string): [string, string] {
  const match = /^([\w!#$%&'*+.^`|~-]+): (\S.*|)$/.exec(field);
  if (match === null) throw new Error(`no header: ${JSON.stringify(field)}`);
  return [(match[1] ?? '').toLowerCase(), match[2] ?? ''];
}

function bodyOf(text: string, headers: ReadonlyMap<string, string>): { body: string; rest: string } {
  const length = headers.get('content-length');
  const coding = headers.get('transfer-encoding');
  if (length !== undefined && coding !== undefined) throw new Error('its end is defined twice');
  if (coding !== undefined && coding !== 'chunked') throw new Error(`an unsupported coding: ${coding}`);
  if (coding !== undefined) return chunksOf(text);
  if (length !== undefined && !/^\d+$/.test(length)) throw new Error(`an invalid length: ${length}`);
  const size = Number(length ?? 0);
  if (text.length < size) throw new Error(`${size - text.length} bytes of the body are missing`);
  return { body: text.slice(0, size), rest: text.slice(size) };
}

function chunksOf(text: string): { body: string; rest: string } {
  let body = '';
  let rest = text;
  for (;;) {
    const [, digits = ''] = /^([0-9a-f]+)\r\n/i.exec(rest) ?? [];
    if (digits === '') throw new Error(`no chunk: ${JSON.stringify(rest.slice(0, 100))}`);
    const size = Number.parseInt(digits, 16);
    rest = rest.slice(digits.length + 2);
    if (size === 0) break;
    body += rest.slice(0, size);
    if (rest.slice(size, size + 2) !== '\r\n') throw new Error('an unterminated chunk');
    rest = rest.slice(size + 2);
  }
  const trailers = /^(?:[^\r\n]+\r\n)*\r\n/.exec(rest);
  if (trailers === null) throw new Error('the last chunk is not followed by the end');
  return { body, rest: rest.slice(trailers[0].length) };
}
