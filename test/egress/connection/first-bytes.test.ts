/** How the first bytes of a connection to an allowed domain are evaluated. */
import { encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import type { ConnectionEntry } from '../../../src/egress/connection/connection-log.ts';
import { Gateway } from '../../../src/egress/gateway.ts';
import { compilePolicy } from '../../../src/egress/policy/policy.ts';
import type { NetworkPolicy } from '../../../src/shared/policy-schema.ts';
import { clientHello, inSmallRecords, withEncryptedHello } from '../support/client-hello.ts';
import { ScriptedConnection } from '../support/scripted-connection.ts';

const ADDRESS = '203.0.113.7';
const BY_NAME: NetworkPolicy = { mode: 'custom', allow: ['good.test'] };
const BY_ADDRESS: NetworkPolicy = { mode: 'custom', subnets: { allow: [`${ADDRESS}/32`] } };

/** A program connects to a port of the address it got for `good.test` and sends bytes. */
async function decide(
  port: number,
  sent: Buffer | string,
  {
    policy = BY_NAME,
    refuseEch = false,
    late = false,
  }: { policy?: NetworkPolicy; refuseEch?: boolean; late?: boolean } = {},
): Promise<{ connection: ScriptedConnection; entry: ConnectionEntry }> {
  let ended: (entry: ConnectionEntry) => void = () => {};
  const entry = new Promise<ConnectionEntry>((resolve, reject) => {
    ended = resolve;
    setTimeout(reject, 20_000, new Error('the connection did not end')).unref();
  });
  const gateway = new Gateway({
    policy: compilePolicy(policy, { opened: [], ownAddresses: () => [] }),
    lookup: () => Promise.resolve({ addresses: [ADDRESS], ttl: 60 }),
    tls: null,
    refuseEch,
    maxBytes: null,
    previous: { entries: [], totals: { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 } },
    onEntry: (each) => {
      if (each.protocol !== 'dns') ended(each);
    },
    onDefect: (error) => {
      throw error;
    },
  });
  await gateway.answerQuery(encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'good.test' }] }));
  const bytes = typeof sent === 'string' ? Buffer.from(sent, 'latin1') : sent;
  const chunks = bytes.length === 0 ? [] : [bytes];
  const to = { address: ADDRESS, port };
  const connection = new ScriptedConnection(to, late ? ['timeout', ...chunks] : chunks);
  gateway.handleConnection(connection);
  return { connection, entry: await entry };
}

describe('input that resembles an HTTP request', () => {
  it.each([
    ['two blanks', 'GET  / HTTP/1.1'],
    ['a tab', 'GET\t/ HTTP/1.1'],
    ['a leading blank', ' GET / HTTP/1.1'],
    ['a leading line of spaces', ' \r\nGET / HTTP/1.1'],
    ['a trailing space', 'GET / HTTP/1.1 '],
    ['a version in lower case', 'GET / http/1.1'],
    ['no version', 'GET /'],
    ['a method in lower case and no version', 'get http://evil.test/'],
    ['whitespace that only some servers accept', 'GET\x1c/ HTTP/1.1'],
    ['a vertical tab', 'GET /\x0bHTTP/1.1'],
  ])('is answered 400 with %s', async (_title, line) => {
    for (const port of [80, 7777]) {
      const { connection, entry } = await decide(port, `${line}\r\nHost: evil.test\r\n\r\n`);
      expect(connection.answer).toContain('HTTP/1.1 400 Bad Request');
      expect(connection.dialled).toEqual([]);
      expect(entry).toMatchObject({ outcome: 'failed', rule: 'its request line is malformed' });
    }
  });

  it('passes in its only valid form, even after empty lines', async () => {
    for (const before of ['', '\r\n', '\n\n']) {
      const request = `${before}GET / HTTP/1.1\r\nHost: good.test\r\n\r\n`;
      const { connection } = await decide(7777, request);
      expect(connection.answer).toBe('');
    }
  });

  it.each(['GET key\r\n', 'get key\r\n', 'PING\r\n', 'SSH-2.0-OpenSSH_9.2p1\r\n', '\x00\x00\x00\x08'])(
    'does not match the command %j of another protocol',
    async (command) => {
      const { connection } = await decide(6379, command);
      expect(connection.dialled).toEqual([`${ADDRESS}:6379`]);
    },
  );
});

describe('port 80 of an allowed domain', () => {
  it.each(['SSH-2.0-OpenSSH_9.2p1\r\n', 'GET key\r\n', '\x00\x00\x00\x08'])('refuses %j', async (bytes) => {
    const { connection, entry } = await decide(80, bytes);
    expect(connection.dialled).toEqual([]);
    expect(entry).toMatchObject({ outcome: 'refused', rule: expect.stringContaining('port 80') });
  });

  it('accepts it when the policy allows the address itself', async () => {
    const { connection } = await decide(80, 'SSH-2.0-OpenSSH_9.2p1\r\n', { policy: BY_ADDRESS });
    expect(connection.dialled).toEqual([`${ADDRESS}:80`]);
  });
});

describe('a client hello with an encrypted client hello', () => {
  it('is allowed by its outer name', async () => {
    const { connection, entry } = await decide(443, withEncryptedHello(await clientHello('good.test')));
    expect(connection.dialled).toEqual([`${ADDRESS}:443`]);
    expect(entry).toMatchObject({ protocol: 'tls', domain: 'good.test', outcome: 'allowed' });
  });

  it('is refused if its outer name is not allowed', async () => {
    const { connection, entry } = await decide(443, withEncryptedHello(await clientHello('evil.test')));
    expect(connection.dialled).toEqual([]);
    expect(entry).toMatchObject({ domain: 'evil.test', outcome: 'refused' });
  });

  it('is refused if the operator refuses the extension', async () => {
    const hello = await clientHello('good.test');
    const { connection, entry } = await decide(443, withEncryptedHello(hello), { refuseEch: true });
    expect(connection.dialled).toEqual([]);
    expect(entry).toMatchObject({ outcome: 'refused', rule: expect.stringContaining('--egress-ech') });
    const plain = await decide(443, hello, { refuseEch: true });
    expect(plain.connection.dialled).toEqual([`${ADDRESS}:443`]);
  });
});

describe('a client hello in records of one byte each', () => {
  it('is allowed by its name', async () => {
    const hello = inSmallRecords(await clientHello('good.test'), 1);
    const { connection } = await decide(443, hello);
    expect(connection.dialled).toEqual([`${ADDRESS}:443`]);
  });

  it('is refused when it has more records than any client sends', async () => {
    const one = Buffer.from([22, 3, 1, 0, 1, 0]);
    // Announces a message of 65,535 bytes, and sends one byte per record.
    const start = inSmallRecords(Buffer.concat([Buffer.alloc(5), Buffer.from([1, 0, 0xff, 0xff])]), 1);
    const { connection, entry } = await decide(443, Buffer.concat([start, ...Array(13_000).fill(one)]));
    expect(connection.dialled).toEqual([]);
    expect(entry).toMatchObject({ outcome: 'refused', rule: expect.stringContaining('malformed') });
  });
});

describe('first bytes that come late', () => {
  const late = true;

  it('pass as a hello for the allowed name', async () => {
    const { connection, entry } = await decide(7777, await clientHello('good.test'), { late });
    expect(connection.dialled).toEqual([`${ADDRESS}:7777`]);
    expect(connection.answer).toBe('released');
    expect(entry).toMatchObject({ outcome: 'allowed' });
  });

  it.each([
    ['whole', 'GET / HTTP/1.1\r\nHost: good.test\r\n\r\n'],
    ['with a body', 'POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 2\r\n\r\nab'],
  ])('are proxied as a request for the allowed name, %s', async (_, request) => {
    const { connection, entry } = await decide(7777, request, { late });
    expect(connection.answer).toBe('');
    expect(entry).toMatchObject({ outcome: 'allowed' });
    // The connection that was held is not what carries the request.
    expect(connection.continued).toMatch(request.startsWith('GET') ? /^GET \/ HTTP/ : /^taken$/);
  });

  it('are answered as a request for another name', async () => {
    const { connection, entry } = await decide(7777, 'GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n', { late });
    expect(connection.answer).toContain('HTTP/1.1 403');
    expect(entry).toMatchObject({ protocol: 'http', domain: 'evil.test', outcome: 'refused' });
  });

  it('do not pass as a hello for another name, or as one that the operator refuses', async () => {
    const hello = await clientHello('good.test');
    const refused: [Buffer | string, refuseEch: boolean][] = [
      [await clientHello('evil.test'), false],
      [withEncryptedHello(hello), true],
    ];
    for (const [bytes, refuseEch] of refused) {
      const { connection, entry } = await decide(7777, bytes, { late, refuseEch });
      expect(connection.answer).toBe('reset');
      expect(entry).toMatchObject({ rule: expect.stringContaining('too late') });
    }
  });

  it('are waited for as long as those of a web client where a rule sets headers', async () => {
    const rules = [{ domain: 'good.test', headers: { 'X-Key': 'a' } }];
    for (const policy of [BY_NAME, { mode: 'custom' as const, rules }]) {
      const { connection } = await decide(7777, 'PING\r\n', { policy });
      expect(connection.waits[0]).toBe(policy === BY_NAME ? 1_000 : 30_000);
    }
  });
});
