import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { VercelEnvironment } from '../../../src/config/config.ts';
import { diagnoseVercel } from '../../../src/engines/vercel/diagnose.ts';
import { proxyFor } from '../../../src/engines/vercel/shells/shell-socket.ts';
import { NO_CREDENTIALS } from './support/vercel-engines.ts';

const SET: VercelEnvironment = {
  ...NO_CREDENTIALS,
  token: 'hidden-token',
  teamId: 'team_1',
  projectId: 'prj_1',
};
const NO_PROXY = { http: null, https: null, no: null };
const TUNING = { retryBaseMs: 1, headersMs: 300, attempts: 2 };

/** The next responses of the API, and the requests received. */
let answer: { status: number; body: unknown } | 'hang' = { status: 200, body: {} };
let requests: { url: string; authorization: string | undefined }[] = [];
let server: Server;
let apiUrl = '';

beforeEach(async () => {
  requests = [];
  server = createServer((request, response) => {
    requests.push({ url: request.url ?? '', authorization: request.headers.authorization });
    if (answer === 'hang') return;
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  apiUrl = `http://127.0.0.1:${address.port}/base`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function diagnose(environment = SET, chosen = true) {
  return diagnoseVercel({ apiUrl, environment, proxy: NO_PROXY, chosen, tuning: TUNING });
}

describe('doctor of the vercel engine', () => {
  it("sends one request to the operator's base URL, with the token", async () => {
    answer = { status: 200, body: { sandboxes: [], pagination: { count: 0, next: null } } };
    expect(await diagnose()).toMatchObject({
      engine: 'vercel',
      works: true,
      findings: [
        { level: 'ok', text: 'VERCEL_TOKEN is set, for team team_1 and project prj_1' },
        { level: 'ok', text: `${apiUrl} accepts the credentials` },
      ],
    });
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({
      url: expect.stringMatching(/^\/base\/v2\/sandboxes\?teamId=team_1&project=prj_1/),
      authorization: 'Bearer hidden-token',
    });
  });

  it.each<[string, typeof answer, string, string]>([
    [
      'a wrong token',
      { status: 401, body: { error: { message: 'Not authorized' } } },
      'Not authorized',
      'VERCEL_TOKEN',
    ],
    [
      'an invalid token, reported as forbidden',
      { status: 403, body: { error: { code: 'forbidden', message: 'Not authorized', invalidToken: true } } },
      'Not authorized',
      'VERCEL_TOKEN',
    ],
    [
      'a foreign team',
      { status: 403, body: { error: { message: 'No access' } } },
      'No access',
      'team and project',
    ],
    ['a failing cloud', { status: 503, body: {} }, 'status 503', 'Call again'],
    [
      'a response of something else',
      { status: 200, body: { hello: 1 } },
      'its own SDK does not accept',
      'Call again',
    ],
    ['silence', 'hang', 'did not respond in time', 'HTTPS_PROXY'],
  ])('reports %s and what to do', async (_case, given, text, advice) => {
    answer = given;
    const { works, findings } = await diagnose();
    expect(works).toBe(false);
    expect(findings.at(-1)).toMatchObject({
      level: 'error',
      text: expect.stringContaining(text),
      advice: expect.stringContaining(advice),
    });
    expect(JSON.stringify(findings)).not.toContain('hidden-token');
  });

  it('names what is missing, and sends no request unless the cloud was chosen', async () => {
    expect(await diagnose(NO_CREDENTIALS)).toMatchObject({
      works: false,
      findings: [
        { level: 'error', text: expect.stringContaining('neither VERCEL_OIDC_TOKEN nor VERCEL_TOKEN') },
      ],
    });
    expect(await diagnose(NO_CREDENTIALS, false)).toMatchObject({
      works: false,
      findings: [{ level: 'warning', text: 'not set up (--engine vercel)', advice: null }],
    });
    expect(await diagnose(SET, false)).toMatchObject({ works: false });
    expect(requests).toEqual([]);
  });
});

describe('the proxy of a terminal connection', () => {
  const proxy = {
    http: 'http://plain:1',
    https: 'http://secure:2',
    no: 'internal.example, .corp,by-port.example:8443',
  };

  it.each<[string, string | null]>([
    ['wss://sandbox.example.com/x', 'http://secure:2'],
    ['ws://sandbox.example.com/x', 'http://plain:1'],
    ['wss://internal.example/x', null],
    ['wss://a.internal.example/x', null],
    ['wss://a.corp/x', null],
    ['wss://notinternal.example/x', 'http://secure:2'],
    ['wss://by-port.example:8443/x', null],
    ['wss://by-port.example/x', 'http://secure:2'],
  ])('%s uses %s', (url, expected) => {
    expect(proxyFor(new URL(url), proxy)).toBe(expected);
    expect(proxyFor(new URL(url), { http: null, https: null, no: null })).toBeNull();
    expect(proxyFor(new URL(url), { ...proxy, no: '*' })).toBeNull();
  });
});
