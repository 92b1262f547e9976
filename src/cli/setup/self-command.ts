import type { ServerCommand } from './clients.ts';

/** `npx` keeps packages here, and may remove them at any time. */
const NPX_CACHE = /[\\/]_npx[\\/]/;

/**
 * How a client starts this server: this Node by its path, since a desktop application does not have the
 * `PATH` of a shell; by `npx` if that is where this program is.
 */
export function selfCommand(node: string, main: string, platform: NodeJS.Platform): ServerCommand {
  if (!NPX_CACHE.test(main)) return { command: node, args: [main] };
  const npx = ['npx', '-y', 'sandbox-mcp'];
  // Windows starts only programs directly, and npx is a script there.
  const [command = '', ...args] = platform === 'win32' ? ['cmd', '/c', ...npx] : npx;
  return { command, args };
}
