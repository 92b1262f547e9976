/** Composition root: the only file that knows every part. Parts are loaded when a verb needs them. */
import './config/schema-settings.ts';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import packageJson from '../package.json' with { type: 'json' };
import { endOfInput, startClean } from './cli/clean-later.ts';
import type { Dependencies } from './cli/dependencies.ts';
import { cliLog } from './cli/output/cli-log.ts';
import type { Terminal } from './cli/output/terminal.ts';
import { selfCommand } from './cli/setup/self-command.ts';
import { openKeyboard } from './cli/verbs/keyboard.ts';
import { type Config, loadConfig } from './config/config.ts';
import type { ParsedFlags } from './config/flags.ts';
import type { Diagnosis, Engine, NetworkPolicy } from './engines/engine.ts';
import type { Registry } from './registry/types.ts';
import type { Handover } from './server/front/front.ts';
import type { GitListener } from './server/http/git/git-listener.ts';
import { Lazy } from './shared/async/lazy.ts';
import { completesWithin, systemClock } from './shared/clock.ts';
import { SandboxError } from './shared/errors.ts';
import type { Logger, LogLevel } from './shared/log.ts';
import type { Replica } from './shared/store/replica.ts';

const VERSION = packageJson.version;

/** Short enough that the process exits by itself: 1.9 s after the session's end it is forced to. */
const END_RECOVERY_MS = 1_000;

/** The compiled agent: next to the bundle, or in the same `dist` when running from sources. */
function agentPath(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return join(dirname(here), 'dist', `agent-${process.arch}`);
}

/** Loaded on demand, like all that the front does not need. */
async function createLog(level: LogLevel, mask?: (text: string) => string): Promise<Logger> {
  const { createLogger } = await import('./shared/log.ts');
  return createLogger(level, undefined, mask);
}

/** The platform decides which addresses cloud sandboxes can reach. */
const CLOUD_HOST_NETWORK = { opened: [], ownAddresses: () => [] };

/** This process as one of several replicas, or null. Closing its registry closes its store. */
async function replicaOf({ http }: Config, log: Logger): Promise<Replica | null> {
  if (http.store === null) return null;
  const { openReplica } = await import('./shared/store/open-store.ts');
  return openReplica(http.store, log);
}

async function openEngine(config: Config, log: Logger, replica: Replica | null = null): Promise<Engine> {
  if (config.engine === 'vercel') {
    const [{ createVercelEngine }, { compilePolicy }] = await Promise.all([
      import('./engines/vercel/index.ts'),
      import('./egress/policy/policy.ts'),
    ]);
    const { stateDir, secrets, vercel } = config;
    const readPolicy = (policy: NetworkPolicy) => compilePolicy(policy, CLOUD_HOST_NETWORK, { secrets });
    return createVercelEngine({ stateDir, ...vercel, secrets, readPolicy, log, ...(replica && { replica }) });
  }
  const { createOciEngine } = await import('./engines/oci/index.ts');
  const { stateDir, ociRuntime, npm, images, diskMb, volumeLimits, secrets, timeZone, warm } = config;
  const egress = {
    allow: config.egressAllow,
    dns: config.egressDns,
    refuseEch: config.egressEch === 'refuse',
    maxBytes: config.egressMaxBytes,
    authorities: config.extraCaCerts,
  };
  return createOciEngine({
    stateDir,
    ociRuntime,
    agentPath: agentPath(),
    egress,
    secrets,
    timeZone,
    npm,
    images,
    diskMb,
    warm,
    volumeLimits,
    log,
  });
}

async function registryOver(
  engine: Engine,
  config: Config,
  log: Logger,
  replica: Replica | null,
  finishLater?: () => void,
): Promise<Registry> {
  const { createRegistry } = await import('./registry/registry.ts');
  return createRegistry({
    engine,
    config,
    log,
    clock: systemClock,
    stateDir: config.stateDir,
    ...(replica && { store: replica.store }),
    ...(finishLater && { finishLater }),
  });
}

async function selectedTools(config: Config) {
  const [{ TOOLS }, { selectTools }] = await Promise.all([
    import('../tools/index.ts'),
    import('./server/select-tools.ts'),
  ]);
  return selectTools(TOOLS, config);
}

/** For a conversation that the front did not begin. @throws SandboxError `invalid_argument` */
async function startTrace(path: string): Promise<void> {
  const { writeTraceFile } = await import('./trace-file.ts');
  try {
    writeTraceFile(path);
  } catch (error) {
    throw new SandboxError('invalid_argument', `--trace-file: ${JSON.stringify(path)} cannot be written.`, {
      hint: 'Name a file in a directory that exists and that this user may write to.',
      cause: error,
    });
  }
}

async function serve(config: Config, handover: Handover | null): Promise<number> {
  if (config.http.store !== null && config.transport !== 'http')
    throw new SandboxError('invalid_argument', '--store is for several replicas over HTTP.', {
      hint: 'Add --transport http, or remove --store.',
    });
  if (handover === null && config.traceFile !== null) await startTrace(config.traceFile);
  const log = await createLog(config.logLevel, (text) => config.secrets.mask(text));
  const [{ serveStdio }, { delayCreates }, { TOOLS }] = await Promise.all([
    import('./server/stdio/serve-stdio.ts'),
    import('./engines/delay-creates.ts'),
    import('../tools/index.ts'),
  ]);
  let recovery: Promise<unknown> = Promise.resolve();
  const replica = await replicaOf(config, log);
  const engine = delayCreates(await openEngine(config, log, replica), () => recovery);
  const registry = await registryOver(engine, config, log, replica, () => startClean(log));
  const git = config.transport === 'http' ? null : publishOnLoopback(registry, log);
  const stopping = new AbortController();
  const shared = { tools: TOOLS, config, log, version: VERSION };
  const served =
    config.transport === 'http'
      ? import('./server/http/serve-http.ts').then(({ serveHttp }) =>
          serveHttp({ ...shared, registry, ...(replica && { replica }) }),
        )
      : serveStdio({
          ...shared,
          session: registry.openSession('local'),
          handover,
          // There is no other session, and its own sandboxes take a while. `close` reports a failure.
          onEnd: () => engine.stock?.empty().catch(() => {}),
        });
  // Do not wait for it: the client is answered meanwhile.
  recovery = recover(registry, log, stopping.signal);
  const reason = await served;
  stopping.abort();
  // Its steps in progress hold locks, which the exit of this process would leave behind.
  const recovered = completesWithin(systemClock, END_RECOVERY_MS, recovery);
  await registry.close(reason);
  await git?.ifUsed(async (listener) => listener.close());
  if (!(await recovered)) log.warn('The recovery did not end in time; the next start continues it.');
  return 0;
}

/** Serves git repositories of sandboxes to this machine, from the first time that somebody sees their URL. */
function publishOnLoopback(registry: Registry, log: Logger): Lazy<GitListener> {
  const listener = new Lazy(async () => {
    const { listenForGit } = await import('./server/http/git/git-listener.ts');
    return listenForGit(registry, log);
  });
  registry.publishRepositories(async (sandbox) => (await listener.get()).urlOf(sandbox));
  return listener;
}

/** Removes what dead servers left. A failure is only logged, since the next start tries again. */
async function recover(registry: Registry, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    const { stopped, forgotten } = await registry.recover(signal);
    if (stopped.length + forgotten.length > 0)
      log.info({ stopped, forgotten }, 'recovered what exited servers left behind');
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, 'recovery failed');
  }
}

/** Opens a group of what the chosen engine can do, for the duration of `work`. */
async function withGroup<Name extends 'images' | 'volumes'>(
  config: Config,
  name: Name,
  work: (group: NonNullable<Engine[Name]>) => Promise<number>,
): Promise<number> {
  const engine = await openEngine(
    config,
    await createLog(config.logLevel === 'info' ? 'silent' : config.logLevel),
  );
  try {
    const group = engine[name];
    if (group === undefined)
      throw new SandboxError('unsupported', `The ${engine.name} engine has no ${name}.`);
    return await work(group);
  } finally {
    await engine.close();
  }
}

async function diagnose(config: Config): Promise<Diagnosis[]> {
  const [{ diagnoseOci }, { diagnoseVercel }] = await Promise.all([
    import('./engines/oci/doctor/diagnose.ts'),
    import('./engines/vercel/diagnose.ts'),
  ]);
  const { stateDir, ociRuntime } = config;
  const chosen = config.engine === 'vercel';
  const [oci, vercel] = await Promise.all([
    diagnoseOci({ stateDir, ociRuntime, agentPath: agentPath() }),
    diagnoseVercel({ ...config.vercel, chosen }),
  ]);
  return chosen ? [vercel, oci] : [oci, vercel];
}

function dependencies(program: string): Dependencies {
  return {
    version: VERSION,
    loadConfig,
    serve: (config) => serve(config, null),
    openRegistry: async (config, report) => {
      // The log is meant for the server; people who run a verb get it only if they ask for a level other than
      // the default.
      const log = config.logLevel === 'info' ? cliLog(report) : await createLog(config.logLevel);
      const replica = await replicaOf(config, log);
      return registryOver(await openEngine(config, log, replica), config, log, replica);
    },
    withImages: (config, work) => withGroup(config, 'images', work),
    withVolumes: (config, work) => withGroup(config, 'volumes', work),
    diagnose,
    endOfInput,
    keyboard: () => openKeyboard(process.stdin, process.stdout),
    ask: async (question) => {
      if (!process.stdin.isTTY || !process.stdout.isTTY) return null;
      const { createInterface } = await import('node:readline/promises');
      const lines = createInterface({ input: process.stdin, output: process.stdout });
      try {
        return await lines.question(question);
      } catch {
        // Ctrl-C or ctrl-D: no answer is no consent.
        return '';
      } finally {
        lines.close();
      }
    },
    self: selfCommand(process.execPath, program, process.platform),
    tools: selectedTools,
  };
}

/** A conversation that the front began. */
export interface Begun {
  flags: ParsedFlags;
  handover: Handover;
}

/** Runs the command line. Returns the exit code; rejects only for defects. */
export async function runCommandLine(
  argv: readonly string[],
  program: string,
  terminal: Terminal,
): Promise<number> {
  const { runProgram } = await import('./cli/program.ts');
  return runProgram(argv, dependencies(program), terminal);
}

/** Serves the rest of a conversation that the front began; without the parser of command lines. */
export function serveBegun({ flags, handover }: Begun): Promise<number> {
  // Read again, since classes of the front are not those of this bundle.
  return serve(loadConfig(flags), handover);
}
