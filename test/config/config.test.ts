import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, loadConfig, type ProcessContext } from '../../src/config/config.ts';
import { environmentName, FLAGS, type FlagName } from '../../src/config/flags.ts';
import { ConfigError } from '../../src/config/setting.ts';
import { SecretStore } from '../../src/shared/secrets.ts';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
  mkdirSync(join(folder, 'work'));
  mkdirSync(join(folder, 'data'));
  symlinkSync('data', join(folder, 'link'));
  writeFileSync(join(folder, 'file'), '');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function load(
  flags: Partial<Record<FlagName, string | string[]>>,
  surroundings: Partial<ProcessContext> = {},
): Config {
  const given = new Map<FlagName, string[]>();
  for (const { name } of FLAGS) {
    const value = flags[name];
    if (value !== undefined) given.set(name, [value].flat());
  }
  return loadConfig(given, {
    env: {},
    cwd: join(folder, 'work'),
    homeDir: join(folder, 'home'),
    isRoot: false,
    ...surroundings,
  });
}

describe('loadConfig', () => {
  it('has a default for every flag', () => {
    expect(load({})).toEqual({
      transport: 'stdio',
      http: {
        ...{ host: '127.0.0.1', port: 8931, publicUrl: null, allowedHosts: [], allowedOrigins: [] },
        ...{ tokens: [], oauth: null, metricsDigest: null, previewHost: 'localhost', previewAccess: 'link' },
        ...{ maxSessions: 1_000, maxPrincipalSessions: 250, sessionIdleMs: 1_800_000 },
        ...{ rateLimit: 6_000, traces: false, store: null, replicaUrl: null, trustedProxies: [] },
      },
      ...{ egressAllow: [], searchPath: [] },
      vercel: {
        apiUrl: null,
        environment: {
          ...{ oidcToken: null, token: null, teamId: null, projectId: null },
          ...{ tokenFile: null, tokenCommand: null, envFile: join(folder, 'work', '.env.local') },
        },
        proxy: { http: null, https: null, no: null },
      },
      ...{ egressDns: [], egressEch: 'allow' },
      ...{ extraCaCerts: null, timeZone: null },
      secrets: new SecretStore(),
      egressMaxBytes: null,
      engine: 'auto',
      stateDir: join(folder, 'home/.local/state/sandbox-mcp'),
      ociRuntime: 'auto',
      diskMb: 10_240,
      volumeLimits: { mb: 10_240, count: 16 },
      callTimeoutMs: 55_000,
      maxLifetimeMs: 86_400_000,
      retentionMs: 86_400_000,
      onDisconnect: 'stop',
      warm: 0,
      traceFile: null,
      allowDirs: [join(folder, 'work')],
      npm: {
        registry: null,
        caFile: null,
        files: [join(folder, 'home/.npmrc'), join(dirname(dirname(process.execPath)), 'etc/npmrc')],
      },
      images: {
        allowed: null,
        runtimeImages: new Map(),
        mirrors: new Map(),
        insecure: [],
        credentialFiles: [
          join(folder, 'home/.config/containers/auth.json'),
          join(folder, 'home/.docker/config.json'),
        ],
      },
      userFolders: {
        ...{ home: join(folder, 'home'), config: join(folder, 'home/.config') },
        ...{ appData: join(folder, 'home/AppData/Roaming'), codex: join(folder, 'home/.codex') },
      },
      toolsets: 'all',
      allowLive: false,
      readOnly: false,
      answers: 'auto',
      ...{ maxSandboxes: 10, maxRunningCommands: 100, maxShells: 10 },
      maxVcpus: 32,
      maxSnapshots: 100,
      logLevel: 'info',
    });
  });

  it('is frozen', () => {
    expect(Object.isFrozen(load({}))).toBe(true);
  });

  it('reads every flag from its variable, with precedence for the flag', () => {
    const env = { SANDBOX_MCP_MAX_VCPUS: '4', SANDBOX_MCP_READ_ONLY: '1', SANDBOX_MCP_MAX_LIFETIME: '' };
    expect(load({}, { env })).toMatchObject({ maxVcpus: 4, readOnly: true, maxLifetimeMs: 86_400_000 });
    expect(load({ 'max-vcpus': '8' }, { env }).maxVcpus).toBe(8);
    expect(environmentName('max-running-commands')).toBe('SANDBOX_MCP_MAX_RUNNING_COMMANDS');
  });

  it.each([
    ['90000', 90_000],
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['24h', 86_400_000],
    ['1.5d', 129_600_000],
  ])('parses the duration %s', (text, milliseconds) => {
    expect(load({ retention: text }).retentionMs).toBe(milliseconds);
  });

  it.each([
    ['500000', 500_000],
    ['64KB', 64_000],
    ['2GB', 2_000_000_000],
  ])('parses the bytes %s', (text, bytes) => {
    expect(load({ 'egress-max-bytes': text }).egressMaxBytes).toBe(bytes);
  });

  it.each<[string, Partial<ProcessContext>, string]>([
    ['root', { isRoot: true }, '/var/lib/sandbox-mcp'],
    ['XDG_STATE_HOME', { env: { XDG_STATE_HOME: '/xdg' } }, '/xdg/sandbox-mcp'],
  ])('chooses the state directory of %s', (_, surroundings, stateDir) => {
    expect(load({}, surroundings).stateDir).toBe(stateDir);
  });

  it('ignores a relative XDG_STATE_HOME, as its specification requires', () => {
    expect(load({}, { env: { XDG_STATE_HOME: 'xdg' } }).stateDir).toBe(
      join(folder, 'home/.local/state/sandbox-mcp'),
    );
  });

  it('requires a state directory only if there is no home', () => {
    expect(() => load({}, { homeDir: null })).toThrow(ConfigError);
    expect(() => load({}, { homeDir: null })).toThrow(
      '--state-dir has no default for a user without a home directory; set it to a directory.',
    );
    expect(load({ 'state-dir': '/state' }, { homeDir: null }).stateDir).toBe('/state');
    expect(load({}, { homeDir: null, isRoot: true }).stateDir).toBe('/var/lib/sandbox-mcp');
    expect(load({}, { homeDir: null, env: { XDG_STATE_HOME: '/xdg' } }).stateDir).toBe('/xdg/sandbox-mcp');
  });

  it('makes paths absolute, and keeps the name of a runtime', () => {
    const config = load({ 'state-dir': 'state', 'oci-runtime': './bin/crun' });
    expect(config).toMatchObject({
      stateDir: join(folder, 'work/state'),
      ociRuntime: join(folder, 'work/bin/crun'),
    });
    expect(load({ 'oci-runtime': 'crun' }).ociRuntime).toBe('crun');
  });

  it('allows the working directory and the given ones, with symbolic links resolved, once each', () => {
    const data = join(folder, 'data');
    expect(load({ 'allow-dir': ['../link', data] }).allowDirs).toEqual([join(folder, 'work'), data]);
    const env = { SANDBOX_MCP_ALLOW_DIR: `${data}:${join(folder, 'link')}` };
    expect(load({}, { env }).allowDirs).toEqual([join(folder, 'work'), data]);
  });

  it('does not accept the root directory as the working directory', () => {
    expect(load({}, { cwd: '/' }).allowDirs).toEqual([]);
    expect(load({}, { cwd: null }).allowDirs).toEqual([]);
    expect(load({ 'allow-dir': '/' }, { cwd: '/' }).allowDirs).toEqual(['/']);
  });

  it('reads what the environment says of Vercel, and where its requests go', () => {
    const ids = { oidcToken: null, token: null, teamId: null, projectId: null };
    const envFile = join(folder, 'work', '.env.local');
    const nothing = { ...ids, tokenFile: null, tokenCommand: null, envFile };
    const noProxy = { http: null, https: null, no: null };
    expect(load({}).vercel).toEqual({ apiUrl: null, environment: nothing, proxy: noProxy });
    const env = {
      VERCEL_OIDC_TOKEN: '',
      VERCEL_TOKEN: 'secret',
      VERCEL_TEAM_ID: 'team_1',
      VERCEL_PROJECT_ID: 'prj_1',
      VERCEL_OIDC_TOKEN_FILE: '/run/token',
      VERCEL_OIDC_TOKEN_COMMAND: 'print-token',
      HTTPS_PROXY: 'http://proxy:3128',
      no_proxy: 'localhost',
    };
    expect(load({ engine: 'vercel', 'vercel-api-url': 'http://127.0.0.1:9/base/' }, { env })).toMatchObject({
      engine: 'vercel',
      vercel: {
        apiUrl: 'http://127.0.0.1:9/base',
        environment: {
          ...{ oidcToken: null, token: 'secret', teamId: 'team_1', projectId: 'prj_1' },
          ...{ tokenFile: '/run/token', tokenCommand: 'print-token', envFile },
        },
        proxy: { http: null, https: 'http://proxy:3128', no: 'localhost' },
      },
    });
  });

  it('parses toolsets', () => {
    expect(load({ toolsets: 'core, files' }).toolsets).toEqual(['core', 'files']);
  });

  it.each<[FlagName, string, string]>([
    [
      'transport',
      'carrier-pigeon',
      '--transport: "carrier-pigeon" is not valid; valid values are stdio or http.',
    ],
    ['host', 'everywhere', '--host: "everywhere" is not an address; use one such as 127.0.0.1'],
    ['port', '65536', '--port: "65536" is not a port; use a number from 0 to 65535.'],
    ['public-url', 'sandbox.example', '--public-url: "sandbox.example" is not a base URL'],
    ['allow-host', 'a.example:80', '--allow-host: "a.example:80" is not a host name'],
    ['allow-origin', 'https://a.example/x', '--allow-origin: "https://a.example/x" is not an origin'],
    ['rate-limit', '0', '--rate-limit: "0" is not valid; use `off` or a whole number'],
    ['engine', 'docker', '--engine: "docker" is not valid; valid values are auto, oci or vercel.'],
    ['vercel-api-url', 'nowhere', '--vercel-api-url: "nowhere" is not a base URL; use one such as https://'],
    ['vercel-api-url', 'ftp://host/api', '--vercel-api-url is not a base URL'],
    ['vercel-api-url', 'https://me:hidden@host/api', '--vercel-api-url is not a base URL'],
    ['vercel-api-url', 'https://host/api?x=1', '--vercel-api-url is not a base URL'],
    ['on-disconnect', 'explode', '--on-disconnect: "explode" is not valid; valid values are stop or keep.'],
    ['max-lifetime', '1w', '--max-lifetime: "1w" is not a duration; use milliseconds'],
    ['max-lifetime', '-5', '--max-lifetime: "-5" is not a duration'],
    ['max-lifetime', '0', '--max-lifetime: "0" is out of range; use 1s to 365d.'],
    ['call-timeout', '30s', '--call-timeout: "30s" is too short; use 55s or more.'],
    ['retention', '366d', '--retention: "366d" is out of range'],
    ['egress-max-bytes', '0', '--egress-max-bytes: "0" is not a number of bytes; use a value such as 500'],
    ['egress-max-bytes', '1.5GB', '--egress-max-bytes: "1.5GB" is not a number of bytes'],
    ['egress-max-bytes', '99999999TB', '--egress-max-bytes: "99999999TB" is not a number of bytes'],
    ['runtime-image', '.stock=a/b', '--runtime-image: ".stock=a/b" names no runtime'],
    ['warm', '17', '--warm: "17" is not valid; use a whole number from 0 to 16.'],
    ['max-sandboxes', '0', '--max-sandboxes: "0" is not valid; use a whole number from 1 to 10000.'],
    ['max-sandboxes', '1e3', '--max-sandboxes: "1e3" is not valid; use a whole number'],
    ['max-vcpus', '2.5', '--max-vcpus: "2.5" is not valid; use a whole number'],
    ['toolsets', 'core,cora', '--toolsets: "cora" is not a toolset; valid ones are all, core, lifecycle'],
    ['log-level', 'loud', '--log-level: "loud" is not valid; valid values are trace, debug'],
    ['read-only', 'maybe', '--read-only: "maybe" is not valid; valid values are true, false, 1 or 0.'],
    ['allow-dir', '../nowhere', '--allow-dir: "../nowhere" does not exist or is not accessible'],
    ['allow-dir', '../file', '--allow-dir: "../file" is not a directory'],
  ])('rejects --%s %s', (name, value, message) => {
    expect(() => load({ [name]: value })).toThrow(ConfigError);
    expect(() => load({ [name]: value })).toThrow(message);
    const origin = environmentName(name);
    expect(() => load({}, { env: { [origin]: value } })).toThrow(message.replace(`--${name}`, origin));
  });
});

describe('the settings of HTTP', () => {
  const TOKEN = 'a-token-of-enough-length';

  it('needs credentials for an address that others can reach', () => {
    expect(() => load({ transport: 'http', host: '0.0.0.0' })).toThrow(
      '--host: "0.0.0.0" can be reached by other machines; set SANDBOX_MCP_AUTH_TOKENS',
    );
    const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${TOKEN}` };
    expect(load({ transport: 'http', host: '0.0.0.0' }, { env }).http.host).toBe('0.0.0.0');
    expect(load({ transport: 'http', host: '::1' }).http.host).toBe('::1');
  });

  it('reads tokens from the environment and a file, and keeps only digests', () => {
    const file = join(folder, 'tokens');
    writeFileSync(file, `# people\nbob:${TOKEN}-of-bob\n\n`);
    const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${TOKEN}, ann:${TOKEN}-again` };
    const { http } = load({ transport: 'http', 'auth-tokens-file': file }, { env });
    expect(http.tokens.map(({ principal }) => principal)).toEqual(['ann', 'ann', 'bob']);
    expect(JSON.stringify(http)).not.toContain(TOKEN);
  });

  it.each(['ann', `ann:short`, `../ann:${TOKEN}`, `:${TOKEN}`, `ann:${TOKEN} x`])(
    'rejects the token entry %s',
    (entry) => {
      const env = { SANDBOX_MCP_AUTH_TOKENS: entry };
      expect(() => load({ transport: 'http' }, { env })).toThrow(
        'SANDBOX_MCP_AUTH_TOKENS has an invalid entry',
      );
      expect(() => load({ transport: 'http' }, { env })).not.toThrow(TOKEN);
    },
  );

  it('rejects a token that two principals share, and a file that cannot be read', () => {
    const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${TOKEN},bob:${TOKEN}` };
    expect(() => load({ transport: 'http' }, { env })).toThrow('gives two principals the same token');
    expect(() => load({ transport: 'http', 'auth-tokens-file': '/nowhere' })).toThrow('cannot be read');
  });

  it('does not offer the working directory', () => {
    expect(load({ transport: 'http' }).allowDirs).toEqual([]);
    expect(load({ transport: 'http', 'allow-dir': '../data' }).allowDirs).toEqual([join(folder, 'data')]);
  });
});
