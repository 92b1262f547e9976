/** Flags and environment variables, read once into one frozen object. The only reader of `process.env`. */
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { ENGINE_NAMES, type EngineName } from '../shared/engine-names.ts';
import { SecretStore } from '../shared/secrets.ts';
import { allowDirs } from './allowed-folders.ts';
import { defaultText, environmentName, type FlagName, type ParsedFlags } from './flags.ts';
import { type HttpSettings, httpSettings } from './http-settings.ts';
import { type ImageSettings, imageSettings } from './image-settings.ts';
import { type NpmSetting, npmSetting } from './npm-setting.ts';
import { secretSettings } from './secret-settings.ts';
import {
  boolean,
  bytes,
  ConfigError,
  count,
  duration,
  megabytes,
  oneOf,
  orList,
  type Setting,
  wholeNumber,
} from './setting.ts';
import { type UserFolders, userFolders } from './user-folders.ts';
import { type VercelSettings, vercelSettings } from './vercel-settings.ts';

export type { HttpSettings } from './http-settings.ts';
export type { ImageSettings } from './image-settings.ts';
export type { NpmSetting } from './npm-setting.ts';
export type { OAuthSettings } from './oauth-settings.ts';
export type { ProxySettings, VercelEnvironment } from './vercel-settings.ts';

const TRANSPORTS = ['stdio', 'http'] as const;
const ON_DISCONNECT = ['stop', 'keep'] as const;
const EGRESS_ECH = ['allow', 'refuse'] as const;
const ANSWERS = ['auto', 'both', 'text', 'json'] as const;
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** The groups that `--toolsets` can select; `core` is the smallest useful set. */
export const TOOLSETS = [
  'core',
  'lifecycle',
  'commands',
  'files',
  'shells',
  'network',
  'snapshots',
  'session',
] as const;

const ENGINES = ['auto', ...ENGINE_NAMES] as const;

export interface Config {
  readonly transport: (typeof TRANSPORTS)[number];
  readonly http: HttpSettings;
  readonly engine: EngineName | 'auto';
  /** Absolute. */
  readonly stateDir: string;
  /** `crun`, `runc`, `runsc` or a path; `auto` probes. */
  readonly ociRuntime: string;
  /** Maximum disk usage of a sandbox, in MiB; null for no limit. */
  readonly diskMb: number | null;
  /** Of each named volume, in MiB, and of their number per principal. */
  readonly volumeLimits: { readonly mb: number | null; readonly count: number };
  /** A call that takes longer is answered, and its work continues. */
  readonly callTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly retentionMs: number;
  /** How many sandboxes to boot ahead, 0 to 16. */
  readonly warm: number;
  readonly onDisconnect: (typeof ON_DISCONNECT)[number];
  /**
   * Host folders that `local_path` may name, absolute, symlinks resolved: every `--allow-dir` and, on stdio,
   * the working directory. Over HTTP each principal has a folder of its own below them.
   */
  readonly allowDirs: readonly string[];
  /** Whether sandboxes may work on a folder itself. */
  readonly allowLive: boolean;
  /** Private or host addresses that sandboxes may reach nevertheless, each `CIDR` or `CIDR:port`. */
  readonly egressAllow: readonly string[];
  /** DNS servers for the names that sandboxes look up; empty: the host's own. */
  readonly egressDns: readonly string[];
  /** What to do with TLS connections that use, or claim to use, an encrypted client hello. */
  readonly egressEch: (typeof EGRESS_ECH)[number];
  /** The npm registry, from which Node releases are downloaded. */
  readonly npm: NpmSetting;
  readonly images: ImageSettings;
  /** `NODE_EXTRA_CA_CERTS`: CA certificates trusted for outside servers, in addition to the host's. */
  readonly extraCaCerts: string | null;
  /** `TZ`: the server's time zone, if set in its environment. */
  readonly timeZone: string | null;
  /** `SANDBOX_MCP_SECRET_NAME` and related variables. */
  readonly secrets: SecretStore;
  /** Null if this user has no home directory. */
  readonly userFolders: UserFolders | null;
  /** The directories of `PATH`, where programs are found. */
  readonly searchPath: readonly string[];
  /** Settings of the cloud engine; they hold secrets. */
  readonly vercel: VercelSettings;
  /** Network quota of a sandbox in bytes, inbound plus outbound; null means no limit. */
  readonly egressMaxBytes: number | null;
  readonly toolsets: readonly (typeof TOOLSETS)[number][] | 'all';
  readonly readOnly: boolean;
  readonly answers: (typeof ANSWERS)[number];
  readonly maxSandboxes: number;
  readonly maxRunningCommands: number;
  readonly maxShells: number;
  readonly maxVcpus: number;
  readonly maxSnapshots: number;
  /** Absolute; null for none. */
  readonly traceFile: string | null;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

/** Separates the values of a repeatable flag in its environment variable. */
const SEPARATORS: Partial<Record<FlagName, string>> = {
  'allow-dir': delimiter,
  'allow-host': ',',
  'allow-origin': ',',
  'trusted-proxy': ',',
  'egress-allow': ',',
  'egress-dns': ',',
  images: ',',
  'runtime-image': ',',
  'registry-mirror': ',',
  'insecure-registry': ',',
};

/** What a configuration depends on besides the flags. */
export interface ProcessContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Null if the working directory no longer exists. */
  readonly cwd: string | null;
  /** Null if this user has none. */
  readonly homeDir: string | null;
  readonly isRoot: boolean;
}

/** The environment of this process. */
export function processContext(): ProcessContext {
  return {
    env: process.env,
    cwd: workingDirectory(),
    homeDir: homeDirectory(),
    isRoot: process.geteuid?.() === 0,
  };
}

/**
 * Builds the configuration of this process. A flag wins over its variable, and an empty variable counts as
 * unset. Throws `ConfigError` at the first invalid value.
 */
export function loadConfig(flags: ParsedFlags, surroundings: ProcessContext = processContext()): Config {
  const { env, cwd } = surroundings;
  const given = (name: FlagName): Setting | undefined => settings(name, flags, env).at(-1);
  const value = (name: FlagName): Setting => given(name) ?? { origin: `--${name}`, value: defaultText(name) };
  const transport = oneOf(value('transport'), TRANSPORTS);
  const all = (name: FlagName) => settings(name, flags, env);
  return Object.freeze<Config>({
    transport,
    http: httpSettings({ value, given, all, env, cwd, serves: transport === 'http' }),
    engine: oneOf(value('engine'), ENGINES),
    stateDir: resolve(cwd ?? '/', given('state-dir')?.value ?? defaultStateDir(surroundings)),
    ociRuntime: runtime(value('oci-runtime').value, cwd),
    diskMb: megabytes(value('disk-mb')),
    volumeLimits: { mb: megabytes(value('volume-mb')), count: count(value('max-volumes')) },
    callTimeoutMs: callTimeout(value('call-timeout')),
    maxLifetimeMs: duration(value('max-lifetime')),
    retentionMs: duration(value('retention')),
    warm: wholeNumber(value('warm'), 0, 16),
    onDisconnect: oneOf(value('on-disconnect'), ON_DISCONNECT),
    allowDirs: allowDirs(all('allow-dir'), cwd, transport),
    allowLive: boolean(value('allow-live')),
    egressAllow: all('egress-allow').map(egressRange),
    egressDns: all('egress-dns').map(nameServer),
    egressEch: oneOf(value('egress-ech'), EGRESS_ECH),
    npm: npmSetting(env, surroundings.homeDir, process.execPath),
    images: imageSettings(all, env, surroundings.homeDir),
    extraCaCerts: env['NODE_EXTRA_CA_CERTS'] || null,
    timeZone: env['TZ'] || null,
    secrets: new SecretStore(secretSettings(env)),
    userFolders: userFolders(env, surroundings.homeDir),
    searchPath: (env['PATH'] ?? '').split(delimiter).filter(isAbsolute),
    vercel: vercelSettings(given('vercel-api-url') ?? null, surroundings),
    egressMaxBytes: optional(given('egress-max-bytes'), bytes),
    toolsets: toolsets(value('toolsets')),
    readOnly: boolean(value('read-only')),
    answers: oneOf(value('answers'), ANSWERS),
    maxSandboxes: count(value('max-sandboxes')),
    maxRunningCommands: count(value('max-running-commands')),
    maxShells: count(value('max-shells')),
    maxVcpus: count(value('max-vcpus')),
    maxSnapshots: count(value('max-snapshots')),
    traceFile: optional(given('trace-file'), (file) => resolve(cwd ?? '/', file.value)),
    logLevel: oneOf(value('log-level'), LOG_LEVELS),
  });
}

/** The values given for a flag, in order: from the command line if there are any, else from its variable. */
function settings(name: FlagName, flags: ParsedFlags, env: ProcessContext['env']): Setting[] {
  const onCommandLine = flags.get(name);
  if (onCommandLine !== undefined) return onCommandLine.map((value) => ({ origin: `--${name}`, value }));
  const origin = environmentName(name);
  const text = env[origin] ?? '';
  const separator = SEPARATORS[name];
  const values = separator === undefined ? [text] : text.split(separator).map((value) => value.trim());
  return values.filter((value) => value !== '').map((value) => ({ origin, value }));
}

function optional<Value>(setting: Setting | undefined, read: (setting: Setting) => Value): Value | null {
  return setting === undefined ? null : read(setting);
}

/**
 * A plain name is kept; a path is made absolute, so that it does not depend on where the server is started.
 */
function runtime(text: string, cwd: string | null): string {
  return text.includes('/') ? resolve(cwd ?? '/', text) : text;
}

function toolsets(setting: Setting): Config['toolsets'] {
  if (setting.value.trim() === 'all') return 'all';
  const names = setting.value.split(',').map((name) => name.trim());
  return names.map((name) => {
    const found = TOOLSETS.find((valid) => valid === name);
    if (found !== undefined) return found;
    throw new ConfigError(
      { ...setting, value: name },
      `is not a toolset; valid ones are ${orList(['all', ...TOOLSETS])}.`,
    );
  });
}

/** Tools promise to wait for up to 55 s, which common clients do too. */
function callTimeout(setting: Setting): number {
  const milliseconds = duration(setting);
  if (milliseconds >= 55_000) return milliseconds;
  throw new ConfigError(setting, 'is too short; use 55s or more.');
}

/** The engine parses the range; here only its form is checked. */
function egressRange(setting: Setting): string {
  if (/^\[?[0-9a-fA-F:.]+\]?(\/\d{1,3})?(:\d{1,5})?$/.test(setting.value)) return setting.value;
  throw new ConfigError(
    setting,
    'is not a range; use the form 10.1.0.0/16, or 10.1.2.3/32:5432 for a single port.',
  );
}

function nameServer(setting: Setting): string {
  const address = setting.value.replace(/^\[([^\]]*)\](:\d{1,5})?$|^([0-9.]+):\d{1,5}$/, '$1$3');
  if (isIP(address) !== 0) return setting.value;
  throw new ConfigError(
    setting,
    'is not the address of a name server; use the form 192.0.2.53 or 192.0.2.53:5353.',
  );
}

function defaultStateDir({ env, homeDir, isRoot }: ProcessContext): string {
  if (isRoot) return '/var/lib/sandbox-mcp';
  const base = env['XDG_STATE_HOME'];
  // The XDG specification says to ignore relative paths.
  if (base !== undefined && isAbsolute(base)) return join(base, 'sandbox-mcp');
  if (homeDir !== null) return join(homeDir, '.local/state/sandbox-mcp');
  throw new ConfigError(
    { origin: '--state-dir', value: null },
    'has no default for a user without a home directory; set it to a directory.',
  );
}

/** Null without `HOME` (or with a relative one) and without an entry in /etc/passwd. */
function homeDirectory(): string | null {
  try {
    const found = homedir();
    return isAbsolute(found) ? found : null;
  } catch {
    return null;
  }
}

function workingDirectory(): string | null {
  try {
    return process.cwd();
  } catch {
    return null;
  }
}
