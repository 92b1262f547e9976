import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import type { FlagName } from '../../src/config/flags.ts';

function load(flags: Partial<Record<FlagName, string>>, env: Record<string, string> = {}) {
  const given = new Map<FlagName, string[]>([['transport', ['http']]]);
  for (const name of ['host', 'oauth-issuer', 'oauth-jwks-url', 'oauth-audience'] as const) {
    const value = flags[name];
    if (value !== undefined) given.set(name, [value]);
  }
  return loadConfig(given, { env, cwd: '/', homeDir: '/home/user', isRoot: false });
}

it('an issuer is enough to listen on an address that others can reach', () => {
  const flags = { 'oauth-issuer': 'https://login.example/team', 'oauth-audience': 'api://sandbox' };
  expect(load({ host: '0.0.0.0', ...flags }).http.oauth).toEqual({
    issuer: 'https://login.example/team',
    jwksUrl: null,
    audience: 'api://sandbox',
  });
  expect(load({ 'oauth-issuer': 'http://127.0.0.1:9000' }).http.oauth?.issuer).toBe('http://127.0.0.1:9000');
});

it.each<[Partial<Record<FlagName, string>>, string]>([
  [{ 'oauth-issuer': 'http://login.example' }, '--oauth-issuer: "http://login.example" is not an https URL'],
  [{ 'oauth-issuer': 'login' }, '--oauth-issuer: "login" is not an https URL'],
  [{ 'oauth-jwks-url': 'https://a.example' }, 'has no effect without --oauth-issuer'],
  [{ 'oauth-audience': 'api://x' }, '--oauth-audience: "api://x" has no effect without --oauth-issuer'],
  [
    { 'oauth-issuer': 'https://a.example', 'oauth-audience': 'two words' },
    '--oauth-audience: "two words" is not a resource identifier',
  ],
])('rejects %j', (flags, message) => {
  expect(() => load(flags)).toThrow(message);
});

it('keeps the digest of the token for metrics, and does not show a bad one', () => {
  const token = 'token-for-metrics-0123';
  const { http } = load({}, { SANDBOX_MCP_METRICS_TOKEN: token });
  expect(http.metricsDigest).toMatch(/^[0-9a-f]{64}$/);
  expect(() => load({}, { SANDBOX_MCP_METRICS_TOKEN: 'too-short' })).toThrow(
    'SANDBOX_MCP_METRICS_TOKEN is not valid',
  );
});

it.each<[Record<string, string>, boolean]>([
  [{}, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, true],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }, true],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_SDK_DISABLED: 'true' }, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_TRACES_EXPORTER: 'none' }, false],
])('with %j it sends traces: %s', (env, sends) => {
  expect(load({}, env).http.traces).toBe(sends);
});
