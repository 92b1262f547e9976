/** The clients that `setup` knows: where each keeps its servers, and in which form. */
import { join } from 'node:path';
import type { UserFolders } from '../../config/user-folders.ts';
import type { ConfigFormat, Entry } from './config-format.ts';
import { jsoncFormat } from './jsonc-format.ts';
import { tomlFormat } from './toml-format.ts';

/** The program that starts the server, and its arguments. */
export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
}

interface ConfigPlace {
  /** A folder that only an installed client has. */
  readonly evidence: string;
  readonly file: string;
}

export interface Client {
  /** What the user types. */
  readonly name: string;
  readonly title: string;
  readonly format: ConfigFormat;
  /** The keys that lead to the servers. */
  readonly servers: readonly string[];
  entry(server: ServerCommand): Entry;
  /** The files that it may read, the preferred one first. */
  places(folders: UserFolders, platform: NodeJS.Platform): readonly ConfigPlace[];
}

const plain = ({ command, args }: ServerCommand): Entry => ({ command, args });
const stdio = (server: ServerCommand): Entry => ({ type: 'stdio', ...plain(server) });
const mcpServers = { format: jsoncFormat, servers: ['mcpServers'], entry: plain } as const;

/** Where desktop applications keep their settings. */
function applications({ home, config, appData }: UserFolders, platform: NodeJS.Platform): string {
  if (platform === 'darwin') return join(home, 'Library/Application Support');
  return platform === 'win32' ? appData : config;
}

/** One file in the folder that only this client makes. */
function inFolder(folder: string, file: string): ConfigPlace[] {
  return [{ evidence: folder, file: join(folder, file) }];
}

export const CLIENTS: readonly Client[] = [
  {
    ...mcpServers,
    name: 'claude-desktop',
    title: 'Claude Desktop',
    places: (folders, platform) =>
      inFolder(join(applications(folders, platform), 'Claude'), 'claude_desktop_config.json'),
  },
  {
    ...mcpServers,
    name: 'claude-code',
    title: 'Claude Code',
    entry: stdio,
    places: ({ home }) => [{ evidence: join(home, '.claude'), file: join(home, '.claude.json') }],
  },
  {
    ...mcpServers,
    name: 'cursor',
    title: 'Cursor',
    places: ({ home }) => inFolder(join(home, '.cursor'), 'mcp.json'),
  },
  {
    name: 'vscode',
    title: 'VS Code',
    format: jsoncFormat,
    servers: ['servers'],
    entry: stdio,
    places: (folders, platform) => inFolder(join(applications(folders, platform), 'Code/User'), 'mcp.json'),
  },
  {
    ...mcpServers,
    name: 'windsurf',
    title: 'Windsurf',
    places: ({ home }) => inFolder(join(home, '.codeium/windsurf'), 'mcp_config.json'),
  },
  {
    name: 'zed',
    title: 'Zed',
    format: jsoncFormat,
    servers: ['context_servers'],
    entry: plain,
    places: ({ home, config, appData }, platform) => {
      if (platform === 'win32') return inFolder(join(appData, 'Zed'), 'settings.json');
      return inFolder(join(platform === 'darwin' ? join(home, '.config') : config, 'zed'), 'settings.json');
    },
  },
  {
    name: 'codex',
    title: 'Codex',
    format: tomlFormat,
    servers: ['mcp_servers'],
    // Otherwise its first turn can begin before the server has connected.
    entry: (server) => ({ ...plain(server), required: true }),
    places: ({ codex }) => inFolder(codex, 'config.toml'),
  },
  {
    ...mcpServers,
    name: 'gemini-cli',
    title: 'Gemini CLI',
    places: ({ home }) => inFolder(join(home, '.gemini'), 'settings.json'),
  },
  {
    ...mcpServers,
    name: 'copilot-cli',
    title: 'Copilot CLI',
    entry: (server) => ({ type: 'local', ...plain(server), tools: ['*'] }),
    places: ({ home }) => inFolder(join(home, '.copilot'), 'mcp-config.json'),
  },
  {
    name: 'opencode',
    title: 'OpenCode',
    format: jsoncFormat,
    servers: ['mcp'],
    entry: ({ command, args }) => ({ type: 'local', command: [command, ...args], enabled: true }),
    // It follows the XDG convention on every system.
    places: ({ config }) =>
      ['opencode.json', 'opencode.jsonc'].flatMap((file) => inFolder(join(config, 'opencode'), file)),
  },
  {
    ...mcpServers,
    name: 'cline',
    title: 'Cline',
    places: (folders, platform) =>
      [
        join(applications(folders, platform), 'Code/User/globalStorage/saoudrizwan.claude-dev'),
        join(folders.home, '.cline/data'),
      ].map((evidence) => ({ evidence, file: join(evidence, 'settings/cline_mcp_settings.json') })),
  },
];
