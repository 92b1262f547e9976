/** Servers that people would choose instead, from npm, installed into a cache folder when a row needs them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { encode } from 'gpt-tokenizer/encoding/o200k_base';
import { z } from 'zod';
import { installPackages } from '../test/clients/install.ts';
import { Skipped } from './row.ts';

const CACHE = join(import.meta.dirname, '../node_modules/.cache/bench');
const manifest = z.object({ bin: z.union([z.string(), z.record(z.string(), z.string())]) });

/** A server over stdio, and a call that gives it next to nothing to do. */
export interface PeerServer {
  readonly label: string;
  readonly args: readonly string[];
  readonly call: { readonly name: string; readonly arguments: Record<string, unknown> };
}

interface Peer {
  readonly package: string;
  readonly version: string;
  readonly kind: string;
  args(folder: string): string[];
  readonly call: PeerServer['call'];
}

const PEERS: readonly Peer[] = [
  {
    package: '@modelcontextprotocol/server-filesystem',
    version: '2026.8.31',
    kind: 'reference server',
    args: (folder) => [folder],
    call: { name: 'list_allowed_directories', arguments: {} },
  },
  {
    package: '@modelcontextprotocol/server-everything',
    version: '2026.8.31',
    kind: 'reference server',
    args: () => ['stdio'],
    call: { name: 'echo', arguments: { message: 'hello' } },
  },
  {
    package: 'mcp-server-commands',
    version: '0.5.0',
    kind: 'terminal',
    args: () => [],
    call: { name: 'run_command', arguments: { command: 'true' } },
  },
  {
    package: '@playwright/mcp',
    version: '0.0.83',
    kind: 'browser',
    args: () => ['--headless'],
    // Starts the browser, if there is one, when it is called first.
    call: { name: 'browser_tabs', arguments: { action: 'list' } },
  },
];

export interface OpenPeers {
  readonly servers: readonly PeerServer[];
  /** The home and working directory of all of them. */
  readonly home: string;
  close(): Promise<void>;
}

/** @throws Skipped if they cannot be installed */
export async function openPeers(): Promise<OpenPeers> {
  const packages = PEERS.map((peer) => `${peer.package}@${peer.version}`);
  let folder: string;
  try {
    folder = await installPackages(CACHE, 'peers', packages);
  } catch (error) {
    throw new Skipped(`needs npm and its registry, to install ${packages.join(', ')}`, { cause: error });
  }
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  const servers: PeerServer[] = [];
  for (const peer of PEERS) {
    const root = join(folder, 'node_modules', peer.package);
    const { bin } = manifest.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
    const program = typeof bin === 'string' ? bin : Object.values(bin)[0];
    if (program === undefined) throw new Error(`${peer.package} has no program`);
    servers.push({
      label: `${peer.package} ${peer.version}, ${peer.kind}`,
      args: [join(root, program), ...peer.args(home)],
      call: peer.call,
    });
  }
  return { servers, home, close: () => rm(home, { recursive: true, force: true, maxRetries: 20 }) };
}

/** Neither finds nor leaves anything in the user's home. */
export function peerEnvironment(home: string): Record<string, string> {
  return { ...getDefaultEnvironment(), HOME: home };
}

export async function connectPeer({ args }: PeerServer, home: string): Promise<Client> {
  const client = new Client({ name: 'bench', version: '1' });
  const options = { command: process.execPath, args: [...args], cwd: home, env: peerEnvironment(home) };
  await client.connect(new StdioClientTransport({ ...options, stderr: 'ignore' }));
  return client;
}

/** What a model reads before its first question: the number of tools, and of tokens in their list. */
export async function listCost(client: Client): Promise<string> {
  const { tools } = await client.listTools();
  const shown = tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }));
  return `${encode(JSON.stringify(shown)).length} tokens in ${tools.length} tools`;
}
