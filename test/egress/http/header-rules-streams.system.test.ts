/** Terminated connections pass data completely, without delay, and in both directions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { needs } from '../../support/needs.ts';
import { relaysOf } from '../support/relays.ts';
import { openRuledSandbox, type RuledSandbox, SECRETS, say } from '../support/ruled-sandbox.ts';
import { noted, openRuledWorld, type RuledWorld } from '../support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
const RULES: NetworkPolicy = {
  mode: 'custom',
  rules: [{ domain: 'api.test', headers: { Authorization: say('TOKEN') } }],
};
/** Helpers for the scripts: a TLS connection with HTTP/1.1, or plain TCP. */
const PYTHON = `
import socket, ssl, sys
def open_to(secure, port=None):
  s = socket.create_connection(('api.test', port or (443 if secure else 80)), 60)
  if not secure: return s
  c = ssl.create_default_context(); c.set_alpn_protocols(['http/1.1'])
  return c.wrap_socket(s, server_hostname='api.test')
def until(s, mark):
  got = b''
  while mark not in got:
    d = s.recv(65536)
    if not d: break
    got += d
  return got
`;

describe('terminated connections', needs('root, for a route to test addresses', isRoot), () => {
  let world: RuledWorld;
  let box: RuledSandbox;

  beforeAll(async () => {
    world = await openRuledWorld();
    box = await openRuledSandbox(world, RULES);
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  describe.each([
    ['HTTPS', 'True', 'https'],
    ['HTTP', 'False', 'http'],
  ])('%s', (_title, secure, scheme) => {
    it('passes WebSockets in both directions, with headers set', async () => {
      const printed = await box.script(
        'python3',
        `${PYTHON}
s = open_to(${secure})
s.sendall(b'GET /ws-${scheme} HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')
print(until(s, b'welcome'))
s.sendall(b'one'); print(until(s, b'one')); s.sendall(b'two'); print(until(s, b'two'))
r = open_to(${secure})
r.sendall(b'GET /refused HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')
print(until(r, b'never'))`,
      );
      expect(printed).toContain('101 Switching');
      expect(printed).toContain('back one');
      expect(printed).toContain('back two');
      expect(printed).toMatch(/401 Unauthorized.*X-Why: token.*no token/);
      expect(noted(world.seen, `/ws-${scheme}`)).toMatchObject({
        protocol: 'upgrade',
        headers: { authorization: SECRETS.TOKEN },
      });
    });

    it('passes server-sent events as they arrive', async () => {
      const printed = await box.script(
        'python3',
        `${PYTHON}
s = open_to(${secure}); s.sendall(b'GET /events HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n')
first = until(s, b'one'); print(b'two' in first)
t = open_to(${secure}); t.sendall(b'GET /got-one HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n'); until(t, b'size')
print(until(s, b'two')[-20:])`,
      );
      expect(printed).toContain('False');
      expect(printed).toContain('data: two');
      world.seen.splice(0);
    });

    it('passes trailers, chunks and several requests on a connection', async () => {
      const printed = await box.script(
        'python3',
        `${PYTHON}
s = open_to(${secure})
for i in range(3):
  s.sendall(b'POST /trailers HTTP/1.1\\r\\nHost: api.test\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: x-sum\\r\\n\\r\\n')
  s.sendall(b'5\\r\\nhello\\r\\n'); s.sendall(b'0\\r\\nX-Sum: %d\\r\\n\\r\\n' % i)
  print(until(s, b'got %d' % i))
s.sendall(b'GET /p1 HTTP/1.1\\r\\nHost: api.test\\r\\n\\r\\nGET /p2 HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n')
print(until(s, b'never').count(b'size 0'))`,
      );
      expect(printed.match(/size 5/g)).toHaveLength(3);
      expect(printed).toMatch(/got 2.*\n2\n/);
      expect(world.seen.filter(({ headers }) => headers['authorization'] === SECRETS.TOKEN)).toHaveLength(5);
      world.seen.splice(0);
    });

    it('passes long headers, and explains the refusal of longer ones', async () => {
      const printed = await box.script(
        'python3',
        `${PYTHON}
for size in (40000, 70000):
  s = open_to(${secure}); s.sendall(b'GET /long-head HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\nX-Long: ' + b'x' * size + b'\\r\\n\\r\\n')
  got = until(s, b'never'); print(got[:12], got.count(b'y') >= 40000, got[-70:])`,
      );
      expect(printed).toMatch(/HTTP\/1.1 200' True/);
      expect(printed).toMatch(/HTTP\/1.1 400' False.*its headers exceed 65536 bytes/);
      world.seen.splice(0);
    });

    it.each([
      ['both lengths', 'Content-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n'],
      ['two lengths', 'Content-Length: 4\\r\\nContent-Length: 40\\r\\n\\r\\nabcd'],
      ['a folded header', 'X-A: a\\r\\n Transfer-Encoding: chunked\\r\\n\\r\\n'],
      ['a space before the colon', 'Transfer-Encoding : chunked\\r\\n\\r\\n0\\r\\n\\r\\n'],
      ['a bare line feed in a header', 'X-A: a\\nHost: other.test\\r\\n\\r\\n'],
    ])('rejects a request with %s', async (_case, rest) => {
      const printed = await box.script(
        'python3',
        `${PYTHON}
s = open_to(${secure}); s.sendall(b'POST /smuggled HTTP/1.1\\r\\nHost: api.test\\r\\n${rest}'); print(until(s, b'never')[:60])`,
      );
      expect(printed).toMatch(/400 Bad Request|403|421/);
      expect(world.seen).toEqual([]);
    });
  });

  it('pass large bodies completely in both directions, over HTTP/2 and HTTP/1.1', async () => {
    const printed = await box.run(`
      head -c 5000000 /dev/zero > /tmp/big
      for v in --http2 --http1.1; do curl -sS $v --data-binary @/tmp/big https://api.test/big; done`);
    expect(printed).toBe('size 5000000\nsize 5000000\n');
  });

  it('pass concurrent HTTP/2 streams in both directions, with trailers, resets and ends without a body', async () => {
    const printed = await box.script(
      'node',
      `const s = require('http2').connect('https://api.test');
const chat = s.request({ ':method': 'POST', ':path': '/chat', te: 'trailers' }, { waitForTrailers: true });
let heard = '';
chat.on('wantTrailers', () => chat.sendTrailers({ 'x-sum': 'seven' }));
chat.on('trailers', (t) => console.log('trailers', t['grpc-status'], t['x-sum']));
chat.on('data', (d) => { heard += d; if (heard === 'heard one') chat.write('two'); if (heard === 'heard oneheard two') chat.end(); });
chat.on('end', () => console.log(heard));
chat.write('one');
const reset = s.request({ ':path': '/reset' });
reset.on('error', () => {}).on('close', () => console.log('reset', reset.rstCode));
const only = s.request({ ':path': '/only-headers' });
only.on('response', (h, flags) => console.log('only', h['grpc-status'], (flags & 1) === 1)).resume();
const many = Promise.all(Array.from({ length: 300 }, (_, i) => new Promise((done) => { const r = s.request({ ':path': '/many' + i }); let t = ''; r.on('data', (d) => { t += d; }); r.on('end', () => done(t)); })));
Promise.all([many, new Promise((done) => chat.on('close', done)), new Promise((done) => reset.on('close', done))]).then(([all]) => { console.log('many', all.filter((t) => t === 'size 0\\n').length); s.close(); });`,
    );
    expect(printed).toContain('heard oneheard twosize 6');
    expect(printed).toContain('trailers 0 seven');
    expect(printed).toContain('reset 11');
    expect(printed).toContain('only 5 true');
    expect(printed).toContain('many 300');
    expect(noted(world.seen, '/chat')).toMatchObject({
      protocol: 'h2',
      headers: { authorization: SECRETS.TOKEN, te: 'trailers' },
    });
  });

  it('use HTTP/1.1 if the server does not support HTTP/2', async () => {
    const printed = await box.run(`curl -sS -w '%{http_version}' https://api.test:8443/older`);
    expect(printed).toBe('size 0\n1.1');
    expect(noted(world.seen, '/older').headers['authorization']).toBe(SECRETS.TOKEN);
  });

  it.each(['--http1.1', '--http2'])('end on the server side when the program ends: %s', async (version) => {
    const path = `/hang${version}`;
    const { structured } = await box.server.call('sandbox_run_command_detached', {
      cmd: 'curl',
      args: ['-sS', version, `https://api.test${path}`],
    });
    await expect.poll(() => world.seen.map((each) => each.path)).toContain(path);
    expect(world.aborted).not.toContain(path);
    await box.server.call('command_kill', { command_id: structured['command_id'], signal: 'SIGKILL' });
    await expect.poll(() => world.aborted).toContain(path);
  });

  it.each(['--http1.1', '--http2'])('are closed once the program has ended: %s', async (version) => {
    const file = join(box.server.stateDir, 'sandboxes', box.sandboxId, 'network.jsonl');
    const over = () =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"protocol":"tls"'));
    const before = over().length;
    await box.run(`for i in 1 2 3; do curl -sS ${version} https://api.test/over; done`);
    // A connection of an earlier test may end only now.
    await expect.poll(() => over().length - before).toBeGreaterThanOrEqual(3);
  });

  it('are closed over HTTP/2 once the server has ended, even without a GOAWAY', async () => {
    const printed = await box.script(
      'node',
      `const s = require('http2').connect('https://api.test');
s.on('close', () => console.log('over')); s.on('error', (e) => console.log(e.code));
s.request({ ':path': '/gone' }).resume().end();`,
    );
    expect(printed).toBe('over\n');
  });

  it.each(['--http1.1', '--http2'])(
    'are closed with their relay, and work through the next one: %s',
    async (version) => {
      const path = `/hang-carried${version}`;
      const { structured } = await box.server.call('sandbox_run_command_detached', {
        cmd: 'curl',
        args: ['-sS', version, `https://api.test${path}`],
      });
      const command = { command_id: structured['command_id'] };
      await expect.poll(() => world.seen.map((each) => each.path)).toContain(path);
      for (const pid of relaysOf(box.server.pid)) process.kill(pid, 'SIGKILL');
      await expect.poll(() => world.aborted).toContain(path);
      expect((await box.server.call('command_wait', command)).structured['exit_code']).not.toBe(0);
      const again = () => box.run(`curl -sS ${version} https://api.test/again`);
      await expect.poll(again).toBe('size 0\n');
      expect(noted(world.seen, '/again').headers['authorization']).toBe(SECRETS.TOKEN);
    },
  );

  it('let a distant server send ahead over HTTP/2, unless many streams are open', async () => {
    const printed = await box.script(
      'node',
      `const s = require('http2').connect('https://api.test');
const ask = () => new Promise((done) => { let text = ''; s.request({ ':path': '/window' }).on('data', (d) => { text += d; }).on('end', () => done(text)); });
(async () => {
  await ask(); console.log(await ask());
  for (let i = 0; i < 12; i++) s.request({ ':path': '/hang-ahead' }).on('error', () => {});
  console.log(await ask()); s.destroy();
})();`,
    );
    const [few, many] = printed
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(few).toEqual([1_048_576, expect.any(Number)]);
    expect(z.tuple([z.number(), z.number()]).parse(few)[1]).toBeGreaterThan(8_000_000);
    expect(many).toEqual([65_535, expect.any(Number)]);
  });

  it('report what was refused in them, whatever else passes', async () => {
    const printed = await box.script(
      'node',
      `const s = require('http2').connect('https://api.test');
const ask = (authority) => new Promise((done) => s.request({ ':authority': authority }).on('response', (h) => done(h[':status'])).resume());
ask('strange.test').then(async (first) => { console.log(first, await ask('api.test')); s.close(); });`,
    );
    expect(printed).toBe('421 200\n');
    await expect
      .poll(async () => JSON.stringify((await box.server.call('session_info')).structured))
      .toContain('"rule":"a request for strange.test on a TLS connection to api.test"');
  });

  it('are closed when the policy no longer allows their domain', async () => {
    const printed = box.script(
      'python3',
      `${PYTHON}
s = open_to(True)
s.sendall(b'GET /hang-on HTTP/1.1\\r\\nHost: api.test\\r\\n\\r\\n')
try: print('cut', s.recv(1) == b'')
except OSError as e: print('cut', e)`,
    );
    await expect.poll(() => world.seen.at(-1)?.path).toBe('/hang-on');
    await box.setPolicy({ mode: 'deny-all' });
    expect(await printed).toContain('cut');
    expect(await box.run('curl -sS https://api.test/over')).toMatch(/resolve|refused/i);
    await box.setPolicy(RULES);
  });
});
