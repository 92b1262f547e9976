/** Headers are set on the HTTPS and HTTP requests of unmodified programs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import { needs } from '../../support/needs.ts';
import { openRuledSandbox, type RuledSandbox, SECRETS, say } from '../support/ruled-sandbox.ts';
import { noted, openRuledWorld, type RuledWorld } from '../support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
const BEARER = `Bearer ${SECRETS.TOKEN}`;
const RULES: NetworkPolicy = {
  mode: 'custom',
  allow: ['other.test'],
  rules: [
    { domain: 'api.test', headers: { Authorization: `Bearer ${say('TOKEN')}` } },
    {
      domain: 'api.test',
      match: { methods: ['POST'], pathPrefix: '/v1/' },
      headers: { 'X-Matched': 'yes' },
    },
    {
      domain: 'api.test',
      match: { pathRegex: '^/m/', query: { q: { exact: '1' } }, headers: { 'X-Kind': { prefix: 'b' } } },
      headers: { 'X-Conditions': 'hold' },
    },
    { domain: '*.api.test', headers: { 'X-Below': 'yes' } },
    { domain: 'self.test', headers: { Authorization: say('TOKEN') } },
    { domain: 'wrong.test', headers: { Authorization: say('TOKEN') } },
  ],
};

/** Sends a request, and another on the same connection after a line of input. */
const ASK_TWICE = `
const lines = require('readline').createInterface({ input: process.stdin });
const session = require('http2').connect('https://api.test');
const ask = (path) => new Promise((done) => session.request({ ':path': path }).on('close', done).resume());
ask('/before').then(() => {
  console.log('asked');
  lines.once('line', () => ask('/after').then(() => { console.log('done'); session.close(); lines.close(); }));
});
`;

describe('header rules', needs('root, for a route to test addresses', isRoot), () => {
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

  it.each<[program: string, path: string, line: string, protocol: string]>([
    ['curl', '/curl', `curl -sS https://api.test/curl`, 'h2'],
    ['curl with HTTP/1.1', '/curl1', `curl -sS --http1.1 https://api.test/curl1`, 'http/1.1'],
    ['curl without an environment', '/curl-i', `env -i /usr/bin/curl -sS https://api.test/curl-i`, 'h2'],
    ['curl by HTTP', '/curl-plain', `curl -sS http://api.test/curl-plain`, 'http/1.1'],
    ['wget', '/wget', `wget -qO- https://api.test/wget`, 'http/1.1'],
    [
      'node',
      '/node',
      `node -e "fetch('https://api.test/node').then(r => r.text()).then(console.log)"`,
      'http/1.1',
    ],
    [
      'python',
      '/python',
      `python3 -c "import urllib.request as u; print(u.urlopen('https://api.test/python').read())"`,
      'http/1.1',
    ],
    [
      'python without an environment',
      '/python-i',
      `env -i /usr/bin/python3 -c "import urllib.request as u; print(u.urlopen('https://api.test/python-i').read())"`,
      'http/1.1',
    ],
    [
      'openssl',
      '/openssl',
      `printf 'GET /openssl HTTP/1.1\\r\\nHost: api.test\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -verify_return_error -quiet -connect api.test:443 -servername api.test`,
      'http/1.1',
    ],
  ])('are applied to %s', async (_program, path, line, protocol) => {
    const printed = await box.run(line);
    expect(printed).toContain('size 0');
    expect(noted(world.seen, path)).toMatchObject({ protocol, headers: { authorization: BEARER } });
    expect(printed).not.toContain(SECRETS.TOKEN);
  });

  it('are applied to git', async () => {
    const printed = await box.run('git ls-remote https://api.test/repo.git');
    expect(printed).toContain(`${'a'.repeat(40)}\tHEAD`);
    expect(noted(world.seen, '/repo.git/info/refs?service=git-upload-pack').headers).toMatchObject({
      authorization: BEARER,
    });
  });

  it("replace the program's own headers, in any case", async () => {
    await box.run(
      `curl -sS --http1.1 -H 'AUTHORIZATION: mine' -H 'authorization: too' https://api.test/replace`,
    );
    const { headers, names } = noted(world.seen, '/replace');
    expect(headers['authorization']).toBe(BEARER);
    expect(names.filter((name) => name === 'authorization')).toHaveLength(1);
    await box.run(`curl -sS -H 'authorization: mine' https://api.test/replace2`);
    expect(noted(world.seen, '/replace2').headers['authorization']).toBe(BEARER);
    await box.run(`curl -sS -H 'authorization: mine' http://api.test/replace3`);
    expect(noted(world.seen, '/replace3').headers['authorization']).toBe(BEARER);
  });

  it('apply to what they match; other requests pass without them', async () => {
    await box.run(
      `for u in https://api.test http://api.test; do curl -sS -d x $u/v1/a; curl -sS $u/v1/b; curl -sS -d x $u/v2; done;
      curl -sS --path-as-is -d x https://api.test/v1/../admin; curl -sS https://www.api.test/below; curl -sS http://other.test/other`,
    );
    const matched = world.seen.filter((each) => each.headers['x-matched'] === 'yes').map(({ path }) => path);
    expect(matched).toEqual(['/v1/a', '/v1/a']);
    expect(noted(world.seen, '/v1/../admin').headers['x-matched']).toBeUndefined();
    expect(noted(world.seen, '/below').headers).toMatchObject({ 'x-below': 'yes' });
    expect(noted(world.seen, '/below').headers['authorization']).toBeUndefined();
    expect(noted(world.seen, '/other').headers['authorization']).toBeUndefined();
  });

  it('apply to requests with the header and the query that they require, in every protocol', async () => {
    await box.run(
      `ask() { curl -sS $1 -H "X-Kind: $3" "$2://api.test$4"; }
      for each in '--http2 https' '--http1.1 https' '--http1.1 http'; do
        ask $each blue '/m/a?q=1'; ask $each red '/m/b?q=1'; ask $each blue '/m/c?q=2'; ask $each blue '/n/d?q=1'
      done`,
    );
    const under = (prefix: string) => world.seen.filter(({ path }) => path.startsWith(prefix));
    expect([...under('/m/'), ...under('/n/')]).toHaveLength(12);
    const matched = world.seen.filter(({ headers }) => headers['x-conditions'] === 'hold');
    expect(matched.map(({ path }) => path)).toEqual(['/m/a?q=1', '/m/a?q=1', '/m/a?q=1']);
    expect(new Set(matched.map(({ protocol }) => protocol))).toEqual(new Set(['h2', 'http/1.1']));
  });

  it('leave domains without rules their own certificate', async () => {
    const printed = await box.run(
      `curl -sS https://other.test/ ; curl -vsSk https://other.test/x 2>&1 | grep issuer`,
    );
    expect(printed).toMatch(/unable to get local issuer certificate|self.signed/);
    expect(printed).toContain('issuer:');
  });

  it.each([
    ['of its own authority', 'self.test', 'SELF_SIGNED|UNABLE_TO'],
    ['for another name', 'wrong.test', 'ALTNAME'],
  ])('send nothing to a server with a certificate %s, and report the reason', async (_title, host, code) => {
    const printed = await box.run(
      `curl -sS -i https://${host}/secret; curl -sS -i --http1.1 https://${host}/secret`,
    );
    expect(printed.match(/^HTTP\/\S+ 502/gm)).toHaveLength(2);
    expect(printed).toMatch(new RegExp(`certificate of ${host}:443 is not trusted \\(\\w*(${code})`));
    expect(printed).not.toContain('X-Sandbox-Network-Policy');
    expect(world.seen.some(({ path }) => path === '/secret')).toBe(false);
  });

  it('refuse a request for another host within the connection, over HTTP/1 and HTTP/2', async () => {
    const printed = await box.run(
      `curl -sS -i --http1.1 -H 'Host: other.test' https://api.test/fronted
      curl -sS -i -H 'Host: other.test' https://api.test/fronted
      curl -sS -i --http1.1 --request-target http://other.test/fronted https://api.test/`,
    );
    expect(printed.match(/^HTTP\/\S+ 421/gm)).toHaveLength(2);
    expect(printed.match(/^HTTP\/\S+ 403/gm)).toHaveLength(1);
    expect(printed).toContain('a request for other.test on a TLS connection to api.test');
    expect(world.seen.some(({ path }) => path.includes('fronted'))).toBe(false);
    const { structured } = await box.server.call('session_info');
    expect(JSON.stringify(structured)).toContain('a request for other.test on a TLS connection');
  });

  it('connect TLS to the address of the name, wherever the program connects', async () => {
    await box.run(`curl -sS --connect-to api.test:443:${world.selfSigned}:443 https://api.test/led`);
    expect(noted(world.seen, '/led').headers['authorization']).toBe(BEARER);
  });

  it('pass other protocols in TLS unchanged', async () => {
    const printed = await box.script(
      'python3',
      `import ssl, socket
c = ssl._create_unverified_context(); c.set_alpn_protocols(['imap'])
try:
  s = c.wrap_socket(socket.create_connection(('api.test', 443)), server_hostname='api.test'); print('shaken')
except OSError as e: print('ended', e)`,
    );
    expect(printed).toMatch(/NO_APPLICATION_PROTOCOL|shaken|ended/i);
    expect(printed).not.toContain('timed out');
  });

  it('are applied after the sandbox has regenerated its CA bundle', async (context) => {
    if ((await box.run('command -v update-ca-certificates', { sudo: true })) === '')
      return context.skip('this host has no update-ca-certificates');
    expect(await box.run('update-ca-certificates', { sudo: true })).toContain('done.');
    expect(await box.run('test -L /etc/ssl/certs/ca-certificates.crt || echo made')).toBe('made\n');
    expect(await box.run('env -i /usr/bin/curl -sS https://api.test/again')).toBe('size 0\n');
  });

  it('work for Java, if the host has it', async (context) => {
    const store = '/etc/ssl/certs/java/cacerts';
    if ((await box.run(`test -e ${store} || echo none`)) !== '')
      return context.skip('this host has no Java store');
    const printed = await box.script(
      'python3',
      `import ssl; der = ssl.PEM_cert_to_DER_cert(open('/run/sandbox-mcp/ca.crt').read()); print(der in open('${store}', 'rb').read())`,
    );
    expect(printed).toBe('True\n');
  });

  it('are shown without values', async () => {
    const { structured, text } = await box.server.call('sandbox_get');
    expect(JSON.stringify(structured)).toContain('"Authorization":"***"');
    expect(text + JSON.stringify(structured)).not.toContain('secret:TOKEN');
  });

  it('apply to the next request of an open connection when changed', async () => {
    await box.script('python3', `open('/tmp/ask.js', 'w').write('''${ASK_TWICE}''')`);
    const opened = await box.server.call('sandbox_shell', { command: ['node', '/tmp/ask.js'] });
    const shell_id = String(opened.structured['shell_id']);
    await box.server.call('shell_send', { shell_id, wait_for: 'asked' });
    await box.setPolicy({ mode: 'custom', rules: [{ domain: 'api.test', headers: { 'X-New': 'yes' } }] });
    await box.server.call('shell_send', { shell_id, text: 'go', keys: ['enter'], wait_for: 'done' });
    await box.setPolicy(RULES);
    expect(noted(world.seen, '/before').headers['authorization']).toBe(BEARER);
    expect(noted(world.seen, '/after').headers).toMatchObject({ 'x-new': 'yes' });
    expect(noted(world.seen, '/after').headers['authorization']).toBeUndefined();
  });
});
