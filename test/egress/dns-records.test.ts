/** DNS record types: which are forwarded, and how others are answered. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode, type RecordType } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerQuery, MAX_TCP_ANSWER, MAX_UDP_ANSWER } from '../../src/egress/dns/answer-query.ts';
import { NameCache, systemLookup, systemRecordLookup } from '../../src/egress/policy/name-cache.ts';
import { compilePolicy } from '../../src/egress/policy/policy.ts';

const RCODE = { ok: 0, noSuchName: 3, refused: 5 };
const LONG = 'x'.repeat(200);
const TEXTS = [LONG, LONG, LONG].map((text) => Buffer.from(text));
const RECORDS: readonly Answer[] = [
  { type: 'A', name: 'good.test', data: '198.51.100.7', ttl: 60 },
  { type: 'CNAME', name: 'www.good.test', data: 'good.test' },
  { type: 'MX', name: 'good.test', data: { preference: 10, exchange: 'mail.good.test' } },
  { type: 'NS', name: 'good.test', data: 'ns.good.test' },
  { type: 'TXT', name: 'good.test', data: [Buffer.from('v=spf1 -all')] },
  { type: 'TXT', name: 'long.good.test', data: TEXTS },
  {
    type: 'SRV',
    name: '_http._tcp.good.test',
    data: { priority: 1, weight: 2, port: 8080, target: 'a.good.test' },
  },
];

describe('DNS records', () => {
  const server = createSocket('udp4');
  const queries: string[] = [];
  let names: NameCache;

  beforeAll(async () => {
    server.on('message', (message, from) => {
      const { id = 0, questions = [] } = decode(message);
      const [question] = questions;
      queries.push(question?.name ?? '');
      const known = RECORDS.filter(({ name }) => name === question?.name);
      const answers = known.filter(({ type }) => type === question?.type);
      const flags = 0x0180 | (known.length === 0 ? RCODE.noSuchName : RCODE.ok);
      const packet = { type: 'response' as const, id, flags, questions, answers };
      server.send(encode(packet), from.port, from.address);
    });
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    const servers = [`127.0.0.1:${server.address().port}`];
    names = new NameCache(systemLookup(servers), systemRecordLookup(servers));
  });

  afterAll(() => new Promise<void>((resolve) => server.close(() => resolve())));

  async function ask(type: RecordType, name: string, maxBytes = MAX_UDP_ANSWER) {
    const allow = ['good.test', 'www.good.test', 'long.good.test', 'gone.test'];
    const policy = compilePolicy({ mode: 'custom', allow }, { opened: [], ownAddresses: () => [] });
    const query = encode({ type: 'query', id: 7, questions: [{ type, name }] });
    const answer = await answerQuery(query, policy, names, maxBytes);
    if (answer === null) throw new Error('no answer');
    const packet = decode(answer.bytes);
    const flags = packet.flags ?? 0;
    const answers = (packet.answers ?? []).map((each) => ('data' in each ? each.data : null));
    return { rcode: flags & 15, truncated: (flags & 0x0200) !== 0, answers, refused: answer.refused };
  }

  it.each<[RecordType, string, unknown]>([
    ['A', 'good.test', '198.51.100.7'],
    ['CNAME', 'www.good.test', 'good.test'],
    ['MX', 'good.test', { preference: 10, exchange: 'mail.good.test' }],
    ['NS', 'good.test', 'ns.good.test'],
    ['TXT', 'good.test', [Buffer.from('v=spf1 -all')]],
    ['SRV', '_http._tcp.good.test', { priority: 1, weight: 2, port: 8080, target: 'a.good.test' }],
  ])('of type %s are forwarded', async (type, name, data) => {
    expect(await ask(type, name)).toMatchObject({ rcode: RCODE.ok, answers: [data], refused: null });
  });

  it('of type AAAA are answered empty, without an error: there is no IPv6', async () => {
    expect(await ask('AAAA', 'good.test')).toMatchObject({ rcode: RCODE.ok, answers: [], refused: null });
  });

  it.each<RecordType>(['SOA', 'NAPTR', 'TLSA', 'DNSKEY'])(
    'of type %s are refused, not reported as missing',
    async (type) => {
      const before = queries.length;
      const { rcode, refused } = await ask(type, 'good.test');
      expect(rcode).toBe(RCODE.refused);
      expect(refused?.decision.rule).toBe(`DNS records of type ${type} are not supported`);
      expect(queries.length).toBe(before);
    },
  );

  it('of names that are not allowed are refused without asking a name server', async () => {
    for (const type of ['TXT', 'SRV', 'AAAA'] as const) {
      expect((await ask(type, 'evil.test')).rcode).toBe(RCODE.refused);
      expect((await ask(type, '_x._tcp.evil.test')).rcode).toBe(RCODE.refused);
    }
    expect(queries.filter((name) => name.endsWith('evil.test'))).toEqual([]);
  });

  it('that do not exist are distinguished from names that do not exist', async () => {
    expect(await ask('MX', 'www.good.test')).toMatchObject({ rcode: RCODE.ok, answers: [] });
    expect(await ask('A', 'long.good.test')).toMatchObject({ rcode: RCODE.ok, answers: [] });
    expect(await ask('MX', 'gone.test')).toMatchObject({ rcode: RCODE.noSuchName, answers: [] });
    expect(await ask('A', 'gone.test')).toMatchObject({ rcode: RCODE.noSuchName, answers: [] });
  });

  it('that are too long for UDP are truncated, and complete over TCP', async () => {
    expect(await ask('TXT', 'long.good.test')).toMatchObject({ truncated: true, answers: [] });
    const whole = await ask('TXT', 'long.good.test', MAX_TCP_ANSWER);
    expect(whole).toMatchObject({ truncated: false, answers: [TEXTS] });
  });
});
