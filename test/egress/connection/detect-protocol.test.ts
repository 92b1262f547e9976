import { decode, encode } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { ClientHelloParser } from '../../../src/egress/connection/client-hello.ts';
import { ProtocolDetector } from '../../../src/egress/connection/detect-protocol.ts';
import { answerQuery, MAX_UDP_ANSWER } from '../../../src/egress/dns/answer-query.ts';
import { NameCache } from '../../../src/egress/policy/name-cache.ts';
import { compilePolicy } from '../../../src/egress/policy/policy.ts';
import { generator, SEED } from '../../support/seed.ts';
import { clientHello, inSmallRecords } from '../support/client-hello.ts';

const random = generator(SEED);

function below(limit: number): number {
  return Math.floor(random() * limit);
}

function randomBytes(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => below(256)));
}

const detectProtocol = (bytes: Buffer) => new ProtocolDetector().detect(bytes);
const parseClientHello = (bytes: Buffer) => new ClientHelloParser().push(bytes);

describe('the first bytes of a connection', () => {
  it.each<[string, string | null]>([
    ['GET / HTTP/1.1\r\n', 'http'],
    ['\r\n\r\nget / HTTP/1.0\r\n', 'http'],
    ['PRI * HTTP/2.0\r\n', 'http'],
    ['GE', null],
    ['GET /aaaaaaaa', null],
    ['\r\n', null],
    ['\x16', null],
    ['\x16\x03\x01', 'tls'],
    ['\x16\x02', 'opaque'],
    ['SSH-2.0-OpenSSH_9.2p1 Debian\r\n', 'opaque'],
    ['EHLO me\r\n', 'opaque'],
    ['GET  / HTTP/1.1\r\n', 'http'],
    [' get\t/ http/1.1\n', 'http'],
    ['GET /\r\n', 'http'],
    ['GET key\r\n', 'opaque'],
    ['GET / HTTP/1.1', null],
    ['\x00\x00\x00\x08', 'opaque'],
    [`GET /${'a'.repeat(20_000)}`, 'http'],
    ['a'.repeat(20_000), 'opaque'],
  ])('identify %.40j', (text, protocol) => {
    expect(detectProtocol(Buffer.from(text, 'latin1'))).toBe(protocol);
  });

  it('give the server name, however the hello is split', async () => {
    const hello = await clientHello('www.example.com', ['h2', 'http/1.1']);
    const protocols = ['h2', 'http/1.1'];
    const expected = { kind: 'hello', serverName: 'www.example.com', encrypted: false, protocols };
    expect(parseClientHello(hello)).toEqual(expected);
    expect(parseClientHello(inSmallRecords(hello, 7))).toEqual(expected);
    expect(parseClientHello(await clientHello('a.test'))).toMatchObject({ protocols: [] });
    for (let length = 1; length < hello.length; length++) {
      expect(parseClientHello(hello.subarray(0, length)).kind).toBe('incomplete');
    }
  });

  it('are parsed in pieces of any size, each byte once', async () => {
    const hello = await clientHello('www.example.com');
    for (const size of [1, 2, 7, 600]) {
      const parser = new ClientHelloParser();
      let last = parser.push(Buffer.alloc(0));
      for (let at = 0; at < hello.length; at += size) last = parser.push(hello.subarray(at, at + size));
      expect(last).toMatchObject({ kind: 'hello', serverName: 'www.example.com' });
    }
    // The maximum number of records, one byte at a time: concatenating each piece with the previous ones took
    // minutes.
    const start = inSmallRecords(Buffer.concat([Buffer.alloc(5), Buffer.from([1, 0, 0xff, 0xff])]), 1);
    const records = Buffer.concat([start, ...Array(4_092).fill(Buffer.from([22, 3, 1, 0, 1, 0]))]);
    const began = process.cpuUsage();
    const parser = new ClientHelloParser();
    const kinds = new Set<string>();
    for (const byte of records) kinds.add(parser.push(Buffer.from([byte])).kind);
    expect([...kinds]).toEqual(['incomplete']);
    expect(process.cpuUsage(began).user / 1_000).toBeLessThan(5_000);
    expect(parser.push(Buffer.from([22, 3, 1, 0, 1, 0])).kind).toBe('malformed');
  });

  it('never make the parser fail', async () => {
    const hello = await clientHello('www.example.com');
    for (let round = 0; round < 3_000; round++) {
      const bytes =
        round % 3 === 0
          ? Buffer.concat([Buffer.from([22, 3, 1]), randomBytes(round % 400)])
          : Buffer.from(hello);
      for (let flip = 0; flip < 4; flip++) bytes[below(bytes.length)] = below(256);
      expect(['incomplete', 'malformed', 'hello']).toContain(parseClientHello(bytes).kind);
      detectProtocol(bytes);
    }
  });

  it('are not mistaken for a query, and never make the response fail', async () => {
    const policy = compilePolicy({ mode: 'allow-all' }, { opened: [], ownAddresses: () => [] });
    const names = new NameCache(async () => ({ addresses: ['198.51.100.7', '127.0.0.1'], ttl: 60 }));
    const query = Buffer.from('0007010000010000000000000474657374036e65740000010001', 'hex');
    const answer = await answerQuery(query, policy, names, MAX_UDP_ANSWER);
    expect(answer?.bytes.includes(Buffer.from([198, 51, 100, 7]))).toBe(true);
    expect(answer?.bytes.includes(Buffer.from([127, 0, 0, 1]))).toBe(false);
    for (let round = 0; round < 2_000; round++) {
      const bytes = Buffer.from(query);
      for (let flip = 0; flip < 3; flip++) bytes[below(bytes.length)] = below(256);
      await answerQuery(round % 2 === 0 ? bytes : randomBytes(round % 100), policy, names, MAX_UDP_ANSWER);
    }
  });

  it('cost no more if they count entries that they do not hold', async () => {
    const policy = compilePolicy({ mode: 'allow-all' }, { opened: [], ownAddresses: () => [] });
    const names = new NameCache(async () => ({ addresses: [], ttl: 60 }));
    const counting = Buffer.from('00070100ffffffffffffffff', 'hex');
    const began = process.cpuUsage();
    for (let round = 0; round < 1_000; round++)
      expect(await answerQuery(counting, policy, names, MAX_UDP_ANSWER)).toBeNull();
    // Reserving memory for a quarter of a million entries takes milliseconds each time.
    expect(process.cpuUsage(began).user / 1_000).toBeLessThan(1_000);
  });

  it('are answered with as many addresses as fit into UDP for every program', async () => {
    const policy = compilePolicy({ mode: 'allow-all' }, { opened: [], ownAddresses: () => [] });
    const addresses = Array.from({ length: 20 }, (_, index) => `198.51.100.${index + 1}`);
    const names = new NameCache(async () => ({ addresses, ttl: 60 }));
    const label = 'x'.repeat(60);
    for (const [name, least] of [
      ['short.test', 16],
      [`${label}.test`, 5],
      [`${label}.${label}.${label}.${label}.test`, 1],
    ] as const) {
      const query = encode({ type: 'query', id: 7, questions: [{ type: 'A', name }] });
      const { bytes = Buffer.alloc(0) } = (await answerQuery(query, policy, names, MAX_UDP_ANSWER)) ?? {};
      const count = decode(bytes).answers?.length ?? 0;
      expect(count).toBeGreaterThanOrEqual(least);
      expect(bytes.length <= 512 || count === 1).toBe(true);
      expect(addresses.map((address) => names.namesFor(address).includes(name))).toEqual(
        addresses.map((_, index) => index < count),
      );
    }
  });
});
