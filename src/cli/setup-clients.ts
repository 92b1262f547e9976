/** Joins the verb `setup` with the configuration and the system. */
import { resolve, win32 } from 'node:path';
import type { Config } from '../config/config.ts';
import { FLAGS, type FlagName, type ParsedFlags } from '../config/flags.ts';
import { ConfigError } from '../config/setting.ts';
import { SandboxError } from '../shared/errors.ts';
import type { Dependencies } from './dependencies.ts';
import type { Terminal } from './output/terminal.ts';
import { containerCommand } from './setup/container-command.ts';
import { findContainerProgram, pullImage } from './setup/container-program.ts';
import { asRoot } from './verbs/as-root.ts';
import { prepareMachine } from './verbs/prepare-machine.ts';
import { type SetupRequest, setup } from './verbs/setup.ts';

/** A client starts the server in a folder of its own choice. */
const PATH_FLAGS: readonly FlagName[] = ['allow-dir', 'state-dir', 'trace-file', 'auth-tokens-file'];
/** They name files that a container does not have. */
const HOST_FLAGS: readonly FlagName[] = ['state-dir', 'trace-file', 'auth-tokens-file', 'oci-runtime'];
/** Where a release publishes the container image. */
export const IMAGE_REPOSITORY = 'ghcr.io/sandbox-mcp/sandbox-mcp';

export interface SetupClientsRequest extends Omit<SetupRequest, 'serverFor' | 'prepare'> {
  /** They become flags of the server in the clients' settings. */
  readonly flags: ParsedFlags;
  /** Start the server in a container even on Linux. */
  readonly container: boolean;
  /** The image to start it from; null for the one of this version. */
  readonly image: string | null;
}

export async function setupClients(
  request: SetupClientsRequest,
  config: Config,
  dependencies: Pick<Dependencies, 'self' | 'ask' | 'version' | 'diagnose'>,
  terminal: Terminal,
  platform: NodeJS.Platform = process.platform,
): Promise<number> {
  if (config.userFolders === null)
    throw new ConfigError(
      { origin: 'HOME', value: null },
      'is needed to find the settings of clients; set it to a directory.',
    );
  const { client, remove, yes } = request;
  const server = remove
    ? { serverFor: () => dependencies.self, prepare: async () => {} }
    : await chosenServer(request, config, dependencies, platform, terminal);
  const { ask } = dependencies;
  return setup({ client, remove, yes, ...server }, { folders: config.userFolders, platform, terminal, ask });
}

/** In a container where the machine cannot run sandboxes itself, unless they are to run in the cloud. */
async function chosenServer(
  { flags, container, image, yes }: SetupClientsRequest,
  config: Config,
  { self, version, ask, diagnose }: Pick<Dependencies, 'self' | 'ask' | 'version' | 'diagnose'>,
  platform: NodeJS.Platform,
  terminal: Terminal,
): Promise<Pick<SetupRequest, 'serverFor' | 'prepare'>> {
  const absolute = platform === 'win32' ? win32.resolve : resolve;
  const inContainer = container || image !== null || (platform !== 'linux' && config.engine !== 'vercel');
  if (!inContainer) {
    const command = { command: self.command, args: [...self.args, ...flagArguments(flags, absolute)] };
    const isRoot = process.geteuid?.() === 0;
    const surroundings = {
      ask,
      isRoot,
      terminal,
      asRoot: () => asRoot(isRoot),
      diagnose: () => diagnose(config),
    };
    const prepare = () => prepareMachine(yes, surroundings);
    return { serverFor: () => command, prepare: config.engine === 'vercel' ? async () => {} : prepare };
  }
  const refused = HOST_FLAGS.find((name) => flags.has(name));
  if (refused !== undefined)
    throw new SandboxError('invalid_argument', `--${refused} has no meaning for a server in a container.`, {
      hint: 'Omit it: a container does not have the files of this machine, and its state is in a volume.',
    });
  const program = await findContainerProgram(config.searchPath, platform);
  if (program === null)
    throw new SandboxError(
      'unavailable',
      `${systemName(platform)} and neither docker nor podman is in PATH.`,
      {
        hint:
          'Install Docker Desktop, OrbStack, colima or Podman, which run the server in a container. Or run ' +
          '`sandbox-mcp --engine vercel setup` for sandboxes in the cloud, or start the server on a Linux machine or ' +
          'in WSL: see docs/clients.md, "macOS and Windows".',
      },
    );
  const others = new Map([...flags].filter(([name]) => name !== 'allow-dir'));
  const reference = image ?? `${IMAGE_REPOSITORY}:${version}`;
  const server = {
    image: reference,
    folders: (flags.get('allow-dir') ?? []).map((folder) => absolute(folder)),
    flags: flagArguments(others, absolute),
  };
  return {
    serverFor: (name) => containerCommand(program, { ...server, volume: `sandbox-mcp-${name}` }, platform),
    prepare: () => pullImage(program, reference, (text) => terminal.err(text)),
  };
}

function systemName(platform: NodeJS.Platform): string {
  return platform === 'linux'
    ? 'A container was asked for,'
    : `The local engine needs Linux; this is ${platform},`;
}

function flagArguments(flags: ParsedFlags, absolute: (path: string) => string): string[] {
  return [...flags].flatMap(([name, values]) => {
    const isSwitch = FLAGS.some((flag) => flag.name === name && flag.value === null);
    if (isSwitch) return [`--${name}`];
    return values.flatMap((value) => [`--${name}`, isPath(name, value) ? absolute(value) : value]);
  });
}

/** A runtime is a program's name, or a path. */
function isPath(name: FlagName, value: string): boolean {
  return PATH_FLAGS.includes(name) || (name === 'oci-runtime' && value.includes('/'));
}
