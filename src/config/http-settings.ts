/** The settings of `--transport http`. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { isLoopback } from '../shared/network/loopback.ts';
import type { StoreAddress } from '../shared/store/open-store.ts';
import { baseUrl, parseHttpUrl } from './http-url.ts';
import { type OAuthSettings, oauthSettings } from './oauth-settings.ts';
import { ConfigError, count, duration, oneOf, type Setting } from './setting.ts';
import { replicaUrl, type ServerSources, storeAddress } from './store-settings.ts';
import { type AddressRange, trustedProxy } from './trusted-proxies.ts';

/** Who a bearer token stands for. Only its SHA-256 digest is kept. */
export interface TokenPrincipal {
  readonly principal: string;
  readonly digest: string;
}

export interface HttpSettings {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Without a trailing slash. Null: the address that the server listens on. */
  readonly publicUrl: string | null;
  /** Null for a server that shares nothing with others. */
  readonly store: StoreAddress | null;
  /** Where other replicas reach this one, without a trailing slash. Null: the address that it listens on. */
  readonly replicaUrl: string | null;
  /** In lower case, without ports. */
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  /** Reverse proxies whose word about who visits previews is passed on. */
  readonly trustedProxies: readonly AddressRange[];
  readonly tokens: readonly TokenPrincipal[];
  /** Null if no authorization server is trusted. */
  readonly oauth: OAuthSettings | null;
  /** SHA-256 digest of the token for `/metrics`; null: only this machine may read them. */
  readonly metricsDigest: string | null;
  /** Whether OpenTelemetry's variables say where to send traces. */
  readonly traces: boolean;
  /** Previews are at subdomains of this name; null: there are none. */
  readonly previewHost: string | null;
  readonly previewAccess: (typeof PREVIEW_ACCESS)[number];
  readonly maxSessions: number;
  readonly maxPrincipalSessions: number;
  readonly sessionIdleMs: number;
  /** Requests per minute and principal; null for no limit. */
  readonly rateLimit: number | null;
}

export interface HttpSources extends ServerSources {
  readonly env: Readonly<Record<string, string | undefined>>;
}

const TOKENS_VARIABLE = 'SANDBOX_MCP_AUTH_TOKENS';
const PREVIEW_ACCESS = ['link', 'owner'] as const;
const METRICS_VARIABLE = 'SANDBOX_MCP_METRICS_TOKEN';
/** It names a folder, too. */
const PRINCIPAL = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** As RFC 6750 allows, and too long to be guessed. */
const TOKEN = /^[A-Za-z0-9._~+/-]{16,512}={0,2}$/;
const HOST_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** @throws ConfigError, also for an address that others can reach while nobody has to authenticate */
export function httpSettings(sources: HttpSources): HttpSettings {
  const { value, given, all, serves } = sources;
  const publicUrl = given('public-url');
  const settings: HttpSettings = {
    host: host(value('host')),
    port: port(value('port')),
    publicUrl: publicUrl === undefined ? null : baseUrl(publicUrl),
    store: storeAddress(sources),
    replicaUrl: replicaUrl(sources),
    allowedHosts: all('allow-host').map(hostName),
    allowedOrigins: all('allow-origin').map(origin),
    trustedProxies: all('trusted-proxy').map(trustedProxy),
    tokens: serves ? tokens(sources) : [],
    oauth: oauthSettings(given),
    metricsDigest: metricsDigest(sources),
    traces: sendsTraces(sources.env),
    previewHost: previewHost(given('preview-host'), publicUrl === undefined),
    previewAccess: oneOf(value('preview-access'), PREVIEW_ACCESS),
    maxSessions: count(value('max-sessions')),
    maxPrincipalSessions: count(value('max-principal-sessions')),
    sessionIdleMs: duration(value('session-idle')),
    rateLimit: value('rate-limit').value === 'off' ? null : rate(value('rate-limit')),
  };
  const isOpen = settings.tokens.length === 0 && settings.oauth === null;
  if (serves && isOpen && !isLoopback(settings.host)) {
    throw new ConfigError(
      value('host'),
      `can be reached by other machines; set ${TOKENS_VARIABLE}, --auth-tokens-file or --oauth-issuer first.`,
    );
  }
  return settings;
}

function host(setting: Setting): string {
  const address = setting.value.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (isIP(address) !== 0 || address === 'localhost') return address;
  throw new ConfigError(setting, 'is not an address; use one such as 127.0.0.1, ::1 or 0.0.0.0.');
}

function previewHost(setting: Setting | undefined, isLocal: boolean): string | null {
  if (setting === undefined) return isLocal ? 'localhost' : null;
  return setting.value === 'off' ? null : hostName(setting);
}

function port(setting: Setting): number {
  const number = /^\d{1,5}$/.test(setting.value) ? Number(setting.value) : -1;
  if (number >= 0 && number <= 65_535) return number;
  throw new ConfigError(setting, 'is not a port; use a number from 0 to 65535.');
}

function rate(setting: Setting): number {
  const number = /^\d{1,7}$/.test(setting.value) ? Number(setting.value) : 0;
  if (number >= 1) return number;
  throw new ConfigError(setting, 'is not valid; use `off` or a whole number from 1 to 9999999.');
}

function hostName(setting: Setting): string {
  const name = setting.value.toLowerCase();
  if (HOST_NAME.test(name)) return name;
  throw new ConfigError(setting, 'is not a host name; use one such as sandbox.example, without a port.');
}

function origin(setting: Setting): string {
  const url = parseHttpUrl(setting.value);
  if (url !== null && url.origin === setting.value.toLowerCase()) return url.origin;
  throw new ConfigError(setting, 'is not an origin; use one such as https://chat.example.');
}

function tokens({ given, env, cwd }: HttpSources): TokenPrincipal[] {
  const inVariable = (env[TOKENS_VARIABLE] ?? '')
    .split(',')
    .map((entry) => ({ entry, from: TOKENS_VARIABLE }));
  const file = given('auth-tokens-file');
  const inFile = file === undefined ? [] : tokenLines(file, cwd);
  const found = [...inVariable, ...inFile]
    .filter(({ entry }) => entry.trim() !== '')
    .map(({ entry, from }) => tokenOf(entry.trim(), from));
  const shared = found.find(({ digest, principal }) =>
    found.some((other) => other.digest === digest && other.principal !== principal),
  );
  if (shared === undefined) return found;
  throw new ConfigError({ origin: TOKENS_VARIABLE, value: null }, 'gives two principals the same token.');
}

function metricsDigest({ env }: HttpSources): string | null {
  const token = env[METRICS_VARIABLE] || null;
  if (token === null) return null;
  if (TOKEN.test(token)) return digestOf(token);
  throw new ConfigError(
    { origin: METRICS_VARIABLE, value: null },
    'is not valid; use 16 or more letters, digits and -._~+/ characters.',
  );
}

/** The variables of OpenTelemetry's specification; its libraries read the rest of them. */
function sendsTraces(env: HttpSources['env']): boolean {
  const endpoint = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  const isDisabled = env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true';
  return endpoint !== undefined && endpoint !== '' && !isDisabled && env['OTEL_TRACES_EXPORTER'] !== 'none';
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function tokenLines(file: Setting, cwd: string | null): { entry: string; from: string }[] {
  let text: string;
  try {
    text = readFileSync(resolve(cwd ?? '/', file.value), 'utf8');
  } catch {
    throw new ConfigError(file, 'cannot be read; name a readable file.');
  }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('#'))
    .map((entry) => ({ entry, from: file.origin }));
}

/** The error does not repeat the value, which is a secret. */
function tokenOf(entry: string, from: string): TokenPrincipal {
  const [, principal = '', token = ''] = /^([^:]*):(.*)$/.exec(entry) ?? [];
  if (PRINCIPAL.test(principal) && TOKEN.test(token)) return { principal, digest: digestOf(token) };
  throw new ConfigError(
    { origin: from, value: null },
    'has an invalid entry; use name:token, with a token of 16 or more letters, digits and -._~+/ characters.',
  );
}
