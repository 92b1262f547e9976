/** Joins the verb `setup` with the configuration and the system. */
import { resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { FLAGS, type FlagName, type ParsedFlags } from '../config/flags.ts';
import { ConfigError } from '../config/setting.ts';
import { SandboxError } from '../shared/errors.ts';
import type { Dependencies } from './dependencies.ts';
import type { Terminal } from './output/terminal.ts';
import { type SetupRequest, setup } from './verbs/setup.ts';

/** A client starts the server in a folder of its own choice. */
const PATH_FLAGS: readonly FlagName[] = ['allow-dir', 'state-dir'];

/** @param request its flags become flags of the server in the clients' settings */
export async function setupClients(
  { flags, ...request }: Omit<SetupRequest, 'server'> & { flags: ParsedFlags },
  config: Config,
  { self, ask }: Pick<Dependencies, 'self' | 'ask'>,
  terminal: Terminal,
): Promise<number> {
  const { platform } = process;
  if (platform !== 'linux' && config.engine !== 'vercel' && !request.remove)
    throw new SandboxError('unsupported', `The local engine needs Linux; this is ${platform}.`, {
      hint:
        'Run `sandbox-mcp --engine vercel setup` for sandboxes in the cloud, or start the server on a Linux machine ' +
        'or in WSL: see docs/clients.md, "macOS and Windows".',
    });
  if (config.userFolders === null)
    throw new ConfigError(
      { origin: 'HOME', value: null },
      'is needed to find the settings of clients; set it to a directory.',
    );
  const server = { command: self.command, args: [...self.args, ...flagArguments(flags)] };
  return setup({ ...request, server }, { folders: config.userFolders, platform, terminal, ask });
}

function flagArguments(flags: ParsedFlags): string[] {
  return [...flags].flatMap(([name, values]) => {
    const isSwitch = FLAGS.some((flag) => flag.name === name && flag.value === null);
    if (isSwitch) return [`--${name}`];
    return values.flatMap((value) => [`--${name}`, PATH_FLAGS.includes(name) ? resolve(value) : value]);
  });
}
