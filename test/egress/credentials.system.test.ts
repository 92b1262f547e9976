/** Headers that the engine itself adds, with a gateway and its clients in this process. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { encode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConnectionEntry } from '../../src/egress/connection/connection-log.ts';
import { createTrustContext } from '../../src/egress/connection/tls-trust.ts';
import { Gateway } from '../../src/egress/gateway.ts';
import type { CredentialRule } from '../../src/egress/policy/header-rules.ts';
import { systemLookup } from '../../src/egress/policy/name-cache.ts';
import { compilePolicy, type Policy } from '../../src/egress/policy/policy.ts';
import { CertificateAuthority, createAuthority } from '../../src/egress/tls/certificate-authority.ts';
import { EgressGatewayPool } from '../../src/engines/oci/network/egress-gateway-pool.ts';
import { createLogger } from '../../src/shared/log.ts';
import type { NetworkPolicy } from '../../src/shared/policy-schema.ts';
import { SecretStore } from '../../src/shared/secrets.ts';
import { needs } from '../support/needs.ts';
import { redirectedBy } from './support/redirected-stream.ts';
import { noted, openRuledWorld, type RuledWorld } from './support/ruled-world.ts';
import { TEST_RANGE } from './support/test-range.ts';

const isRoot = process.getuid?.() === 0;
const ALL: NetworkPolicy = { mode: 'allow-all' };
const CREDENTIALS: CredentialRule[] = [
  { domain: 'api.test', match: { pathPrefix: '/repo/' }, headers: { Authorization: 'Basic abc' } },
];

function compile(data: NetworkPolicy, credentials: CredentialRule[] = []): Policy {
  return compilePolicy(data, { opened: [], ownAddresses: () => [] }, { credentials });
}

describe('credentials of the engine', needs('root, for a route to test addresses', isRoot), () => {
  let world: RuledWorld;
  let gateway: Gateway;
  let trusted = '';
  const entries: ConnectionEntry[] = [];
  const sockets = new Set<Socket>();
  /** Replaces the agent: connections to it count as connections to the HTTPS port of the test servers. */
  const agent = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (stream) => {
    sockets.add(stream);
    gateway.handleConnection(redirectedBy(stream, { address: world.address, port: 443 }));
  });

  beforeAll(async () => {
    world = await openRuledWorld();
    const stored = await createAuthority();
    const authority = new CertificateAuthority(stored);
    trusted = stored.certificate;
    gateway = new Gateway({
      policy: compile(ALL),
      lookup: systemLookup([world.dns]),
      tls: {
        contextFor: (name) => authority.contextFor(name),
        upstream: createTrustContext('', readFileSync(world.authorities, 'utf8')),
      },
      maxBytes: null,
      previous: { entries: [], totals: { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 } },
      onEntry: (entry) => entries.push(entry),
      onDefect: (error) => {
        throw error;
      },
    });
    agent.listen(0, '127.0.0.1');
    await once(agent, 'listening');
    for (const name of ['api.test', 'other.test'])
      await gateway.answerQuery(encode({ type: 'query', id: 1, questions: [{ type: 'A', name }] }));
  });

  afterAll(async () => {
    gateway?.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => agent.close(resolve));
    await world?.close();
  });

  function agentPort(): number {
    const address = agent.address();
    if (typeof address !== 'object' || address === null) throw new Error('the agent does not listen');
    return address.port;
  }

  /** @param ca the CA that the client trusts: the gateway and the test servers have different ones */
  async function ask(path: string, ca: string, servername = 'api.test'): Promise<number> {
    const asking = request({
      port: agentPort(),
      servername,
      path,
      ca,
      agent: false,
      headers: { Host: servername, Authorization: 'mine' },
    });
    asking.end();
    const [response] = await once(asking, 'response');
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  }

  async function opened(ca: string): Promise<TLSSocket> {
    const socket = connect({ port: agentPort(), servername: 'api.test', ca });
    await once(socket, 'secureConnect');
    socket.on('error', () => undefined).resume();
    return socket;
  }

  const outside = () => readFileSync(world.authorities, 'utf8');

  it('are set while present, under any policy that allows the request', async () => {
    expect(await ask('/repo/0', outside())).toBe(200);
    for (const data of [
      ALL,
      { mode: 'custom' as const, allow: ['api.test'] },
      { mode: 'custom' as const, subnets: { allow: [TEST_RANGE] } },
    ]) {
      gateway.setPolicy(compile(data, CREDENTIALS));
      expect(await ask('/repo/1', trusted)).toBe(200);
      expect(noted(world.seen, '/repo/1').headers['authorization']).toBe('Basic abc');
      expect(await ask('/else', trusted)).toBe(200);
      expect(noted(world.seen, '/else').headers['authorization']).toBe('mine');
      world.seen.splice(0);
    }
    gateway.setPolicy(compile(ALL));
    expect(await ask('/repo/2', outside())).toBe(200);
    expect(noted(world.seen, '/repo/2').headers['authorization']).toBe('mine');
  });

  it('leave other requests unchanged', async () => {
    gateway.setPolicy(compile(ALL, CREDENTIALS));
    expect(await ask('/other', outside(), 'other.test')).toBe(200);
    gateway.setPolicy(compile(ALL));
  });

  it('allow nothing', async () => {
    gateway.setPolicy(compile({ mode: 'custom', allow: ['other.test'] }, CREDENTIALS));
    await expect(ask('/repo/3', trusted)).rejects.toThrow(/access denied|alert|hang up|ECONNRESET/i);
    gateway.setPolicy(compile({ mode: 'deny-all' }, CREDENTIALS));
    await expect(ask('/repo/3', trusted)).rejects.toThrow(/access denied|alert|hang up|ECONNRESET/i);
    gateway.setPolicy(compile(ALL));
    expect(world.seen.some(({ path }) => path === '/repo/3')).toBe(false);
  });

  it('close uninspected connections to their domain, and no others', async () => {
    gateway.setPolicy(compile({ mode: 'custom', allow: ['api.test', 'other.test'] }));
    const socket = await opened(outside());
    gateway.setPolicy(
      compile({ mode: 'custom', allow: ['api.test', 'other.test'] }, [
        { domain: 'other.test', headers: { 'X-A': '1' } },
      ]),
    );
    expect(socket.destroyed || socket.readableEnded).toBe(false);
    const over = once(socket, 'close');
    gateway.setPolicy(compile({ mode: 'custom', allow: ['api.test'] }, CREDENTIALS));
    await over;
    expect(entries.at(-1)).toMatchObject({
      domain: 'api.test',
      outcome: 'cut',
      rule: 'a policy update added header rules for its domain',
    });
    gateway.setPolicy(compile(ALL));
  });

  it('close connections allowed by address if any name that resolves there is in their domain', async () => {
    const data: NetworkPolicy = { mode: 'custom', subnets: { allow: [TEST_RANGE] } };
    gateway.setPolicy(compile(data));
    for (const domain of ['api.test', 'other.test']) {
      const socket = await opened(outside());
      const over = once(socket, 'close');
      gateway.setPolicy(compile(data, [{ domain, headers: { 'X-A': '1' } }]));
      await over;
      expect(entries.at(-1)).toMatchObject({ protocol: 'tcp', outcome: 'cut' });
      gateway.setPolicy(compile(data));
    }
    const kept = await opened(outside());
    gateway.setPolicy(compile(data, [{ domain: 'self.test', headers: { 'X-A': '1' } }]));
    expect(kept.destroyed || kept.readableEnded).toBe(false);
    kept.destroy();
    gateway.setPolicy(compile(ALL));
  });

  it('are sent only to the address of the name, and to servers with a certificate for it', async () => {
    const otherDomain: CredentialRule[] = [{ domain: '*.test', headers: { Authorization: 'Basic abc' } }];
    gateway.setPolicy(compile(ALL, otherDomain));
    expect(await ask('/repo/4', trusted, 'self.test')).toBe(502);
    await expect
      .poll(() => entries.at(-1))
      .toMatchObject({
        domain: 'self.test',
        outcome: 'failed',
        rule: expect.stringContaining('is not trusted'),
      });
    gateway.setPolicy(compile(ALL));
    expect(world.seen.some(({ path }) => path === '/repo/4')).toBe(false);
  });
});

describe('the gateways of an engine', () => {
  it('reject invalid credentials without revealing a value', () => {
    const gateways = new EgressGatewayPool(
      { allow: [], dns: [], maxBytes: null },
      new SecretStore(),
      createLogger('silent'),
    );
    const add = (rule: CredentialRule) => () => gateways.addCredentials('sbx_234567abcdef', [rule]);
    expect(add({ domain: 'https://a.test', headers: {} })).toThrow(/is not a domain/);
    expect(add({ domain: 'a.test', headers: { Authorization: 'a\nhidden' } })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hidden') }),
    );
    const remove = gateways.addCredentials('sbx_234567abcdef', CREDENTIALS);
    remove();
    remove();
  });
});
