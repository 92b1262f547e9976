/** Requests whose parts could be mistaken for another request: no server receives an unchecked request. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { needs } from '../../support/needs.ts';
import { type ReadRequest, requestsIn } from '../support/request-reader.ts';
import { openRuledSandbox, type RuledSandbox, SECRETS, say } from '../support/ruled-sandbox.ts';
import { openRuledWorld, type RuledWorld } from '../support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
/** A server would treat what follows as the body, including the secret. */
const HIDDEN = 'POST /collect HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 120\r\n\r\n';
const SIZE = HIDDEN.length;
const CHUNK = `${SIZE.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`;
const NEXT = 'GET /allowed/2 HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n';
const METHODS = ['GET', 'DELETE', 'OPTIONS', 'HEAD', 'POST'] as const;

/** Headers, then the body. Every case gets a 400, whatever the method. */
const REFUSED: [string, string][] = [
  ['Connection: content-length', `Connection: content-length\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  [
    'a Connection header with several names',
    `Connection: close\r\nConnection: x-a,Content-LENGTH \r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`,
  ],
  [
    'Connection: transfer-encoding',
    `Connection: keep-alive, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK}`,
  ],
  ['Connection: host', `Connection: Host\r\n\r\n`],
  [
    'Connection: trailer',
    `Connection: trailer\r\nTrailer: x-a\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK}`,
  ],
  ['both ends', `Content-Length: ${SIZE}\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK}`],
];
/** The same, tested with one method only. */
const REFUSED_HEADS: [string, string][] = [
  ['chunked, identity', `Transfer-Encoding: chunked, identity\r\n\r\n${CHUNK}`],
  ['gzip, chunked', `Transfer-Encoding: gzip, chunked\r\n\r\n${CHUNK}`],
  ['xchunked', `Transfer-Encoding: xchunked\r\n\r\n${CHUNK}`],
  ['identity', `Transfer-Encoding: identity\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a vertical tab', `Transfer-Encoding: \x0bchunked\r\n\r\n${CHUNK}`],
  ['chunked twice', `Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK}`],
  ['two lengths', `Content-Length: 0\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a length twice', `Content-Length: ${SIZE}\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a list of lengths', `Content-Length: ${SIZE}, ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a sign', `Content-Length: +${SIZE}\r\n\r\n${HIDDEN}`],
  ['a hexadecimal length', `Content-Length: 0x${SIZE.toString(16)}\r\n\r\n${HIDDEN}`],
  ['an empty length', `Content-Length:\r\n\r\n${HIDDEN}`],
  ['an out-of-range length', `Content-Length: 18446744073709551616\r\n\r\n${HIDDEN}`],
  ['a folded header', `X-A: a\r\n Content-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a space before the colon', `Content-Length : ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a bare line feed', `X-A: a\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a bare carriage return', `X-A: a\rContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  ['a NUL', `X-A: a\0\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`],
  [
    'an upgrade with a body',
    `Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`,
  ],
  [
    'an upgrade with chunks',
    `Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK}`,
  ],
];
const POLICY: NetworkPolicy = {
  mode: 'custom',
  rules: [
    {
      domain: 'api.test',
      match: { methods: ['GET'], pathPrefix: '/allowed' },
      headers: { Authorization: say('TOKEN') },
    },
    { domain: 'other.test' },
  ],
};

describe('request smuggling', needs('root, for a route to test addresses', isRoot), () => {
  let world: RuledWorld;
  let box: RuledSandbox;

  beforeAll(async () => {
    world = await openRuledWorld();
    box = await openRuledSandbox(world, POLICY);
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  beforeEach(() => {
    world.seen.splice(0);
    world.heard.splice(0);
  });

  /** Sends the bytes on one connection and returns everything received. */
  const send = (secure: boolean, bytes: string, host = 'api.test'): Promise<string> =>
    box.script(
      'python3',
      `
import base64, socket
s = socket.create_connection(('${host}', ${secure ? 443 : 80}), 60)
if ${secure ? 'True' : 'False'}:
  import ssl
  c = ssl.create_default_context(); c.set_alpn_protocols(['http/1.1'])
  s = c.wrap_socket(s, server_hostname='${host}')
s.sendall(base64.b64decode('${Buffer.from(bytes, 'latin1').toString('base64')}'))
try:
  while d := s.recv(65536): print(d.decode('latin1'), end='')
except OSError as e: print(e)`,
    );

  /**
   * The requests a strict parser finds in the server's input; the secret occurs in that single header only.
   */
  const arrived = (): ReadRequest[] => {
    const requests = world.heard.flatMap(({ text }) => requestsIn(text));
    for (const { line, headers, body } of requests) {
      expect(body).not.toContain(SECRETS.TOKEN);
      expect(headers.get('host')).toBe('api.test');
      expect(headers.get('authorization')).toBe(line.startsWith('GET /allowed/') ? SECRETS.TOKEN : undefined);
    }
    return requests;
  };

  describe.each([
    ['HTTPS', true],
    ['HTTP', false],
  ])('%s', (_title, secure) => {
    it.each(METHODS.flatMap((method) => REFUSED.map(([title, rest]) => [method, title, rest] as const)))(
      'gets 400 for %s with %s, and neither it nor what follows passes',
      async (method, _case, rest) => {
        const answer = await send(
          secure,
          `${method} /allowed/1 HTTP/1.1\r\nHost: api.test\r\n${rest}${NEXT}`,
        );
        expect(answer).toMatch(/^HTTP\/1\.1 400 /);
        expect(arrived()).toEqual([]);
      },
    );

    it.each(REFUSED_HEADS)('gets 400 for %s, and neither it nor what follows passes', async (_case, rest) => {
      const answer = await send(secure, `GET /allowed/1 HTTP/1.1\r\nHost: api.test\r\n${rest}${NEXT}`);
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      expect(arrived()).toEqual([]);
    });

    it('gets 400 for chunks over HTTP/1.0', async () => {
      const chunks = `Transfer-Encoding: chunked\r\n\r\n${CHUNK}`;
      const answer = await send(secure, `GET /allowed/1 HTTP/1.0\r\nHost: api.test\r\n${chunks}${NEXT}`);
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      expect(arrived()).toEqual([]);
    });

    it.each(
      METHODS.flatMap((method) => [
        [
          method,
          'a length',
          `Connection: x-local\r\nX-Local: a\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`,
        ] as const,
        [method, 'chunks', `Transfer-Encoding: \t Chunked\r\n\r\n${CHUNK}`] as const,
        [
          method,
          'a Trailer header with a length',
          `Trailer: x\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`,
        ] as const,
        [
          method,
          'an expectation',
          `Expect: 100-continue\r\nContent-Length: ${SIZE}\r\n\r\n${HIDDEN}`,
        ] as const,
      ]),
    )('passes %s with %s and its body, and then the next request', async (method, _case, rest) => {
      const answer = await send(secure, `${method} /allowed/1 HTTP/1.1\r\nHost: api.test\r\n${rest}${NEXT}`);
      expect(answer.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
      const requests = arrived();
      expect(requests.map(({ line, body }) => [line, body]).sort()).toEqual(
        [
          [`${method} /allowed/1`, HIDDEN],
          ['GET /allowed/2', ''],
        ].sort(),
      );
      for (const { headers } of requests) expect([...headers.keys()]).not.toContain('x-local');
      // If the server may leave a body unread, nothing follows on its connection. Otherwise it may: a request
      // that comes before the connection is known to be idle gets one of its own.
      const mayShare = secure && method === 'POST';
      expect(world.heard.filter(({ text }) => text !== '').length).toBeOneOf(mayShare ? [1, 2] : [2]);
    });

    it('cannot add framing, routing or rule headers in trailers', async () => {
      const trailers = 'Authorization: mine\r\nHost: evil.test\r\nExpect: evil\r\nX-Sum: 1\r\n\r\n';
      const chunks = `Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${trailers}`;
      await send(secure, `GET /allowed/trailers HTTP/1.1\r\nHost: api.test\r\n${chunks}${NEXT}`);
      const text = world.heard.map((each) => each.text).join('');
      expect(text).toMatch(/\r\n0\r\nx-sum: 1\r\n\r\n/i);
      expect(text).not.toMatch(/mine|evil/);
    });

    it.each(['Content-Length: 3', 'Transfer-Encoding: chunked'])(
      'cannot pass a framing trailer or what follows it: %s',
      async (trailer) => {
        const chunks = `Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${trailer}\r\n\r\n`;
        await send(secure, `GET /allowed/1 HTTP/1.1\r\nHost: api.test\r\n${chunks}${NEXT}`);
        const text = world.heard.map((each) => each.text).join('');
        expect(text).not.toMatch(/\n0\r\n|allowed\/2|Content-Length/);
      },
    );

    it('closes the connection to the server after half a body', async () => {
      const half = 'POST /hang HTTP/1.1\\r\\nHost: api.test\\r\\nContent-Length: 50\\r\\n\\r\\nhalf';
      const script = `
import socket, ssl, time
s = socket.create_connection(('api.test', ${secure ? 443 : 80}), 60)
if ${secure ? 'True' : 'False'}:
  c = ssl.create_default_context(); c.set_alpn_protocols(['http/1.1'])
  s = c.wrap_socket(s, server_hostname='api.test')
s.sendall(b'${half}')
time.sleep(1000)`;
      world.aborted.splice(0);
      const { structured } = await box.server.call('sandbox_run_command_detached', {
        cmd: 'python3',
        args: ['-c', script],
      });
      await expect.poll(() => world.seen.map(({ path }) => path)).toContain('/hang');
      expect(world.aborted).toEqual([]);
      await box.server.call('command_kill', { command_id: structured['command_id'], signal: 'SIGKILL' });
      await expect.poll(() => world.aborted).toContain('/hang');
      expect(world.heard.filter(({ text }) => text.includes('allowed'))).toEqual([]);
    });

    it.each(['h2c', 'h2c, HTTP/2.0', 'TLS/1.0'])(
      'cannot upgrade to %s, which would not be inspected',
      async (to) => {
        const more = `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${to}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`;
        const answer = await send(secure, `GET /allowed/1 HTTP/1.1\r\nHost: api.test\r\n${more}${NEXT}`);
        expect(answer).toMatch(/^HTTP\/1\.1 200 /);
        const [request, ...others] = arrived();
        expect(request?.line).toBe('GET /allowed/1');
        expect([...(request?.headers.keys() ?? [])].sort()).toEqual(['authorization', 'connection', 'host']);
        expect(others).toEqual([]);
      },
    );

    it('cannot use CONNECT', async () => {
      const answer = await send(secure, `CONNECT api.test:80 HTTP/1.1\r\nHost: api.test\r\n\r\n${NEXT}`);
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(arrived()).toEqual([]);
    });
  });

  it('closes the connection of a server that sends a response without a request', async () => {
    const printed = box.script(
      'python3',
      `
import socket, ssl
c = ssl.create_default_context(); c.set_alpn_protocols(['http/1.1'])
def ask(s, path):
  s.sendall(f'GET {path} HTTP/1.1\\r\\nHost: api.test\\r\\n\\r\\n'.encode())
  got = b''
  while not got.endswith(b'0\\r\\n\\r\\n'): got += s.recv(65536)
def opened(): return c.wrap_socket(socket.create_connection(('api.test', 443), 60), server_hostname='api.test')
s = opened(); ask(s, '/allowed/1')
t = opened(); ask(t, '/allowed/read')
s.settimeout(None)
try: print(s.recv(65536))
except OSError as e: print(e)`,
    );
    await expect.poll(() => world.seen.some(({ path }) => path === '/allowed/read')).toBe(true);
    const idle = world.heard.find(({ text }) => text.includes('/allowed/1'))?.socket;
    idle?.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL');
    await expect.poll(() => idle?.closed).toBe(true);
    await box.setPolicy({ mode: 'deny-all' });
    expect(await printed).not.toContain('EVIL');
    await box.setPolicy(POLICY);
  });

  it.each(['host', 'content-length', 'close, transfer-encoding'])(
    'is prevented as strictly for a standalone request: Connection: %s',
    async (named) => {
      const request = `GET /alone HTTP/1.1\r\nHost: other.test\r\nConnection: ${named}\r\n\r\n`;
      expect(await send(false, request, 'other.test')).toMatch(/^HTTP\/1\.1 400 /);
      expect(world.heard.map(({ text }) => text).join('')).toBe('');
    },
  );
});
