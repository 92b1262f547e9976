/** The built server over HTTP, with real clients that each have a session. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import type { BenchServer } from './server.ts';

export type BenchClient = Pick<BenchServer, 'call'>;

export interface BenchHttpServer {
  readonly pid: number;
  /** Opens a session, with a stream for what the server sends by itself. */
  connect(): Promise<BenchClient>;
  close(): Promise<void>;
}

/** Starts the server of the build in `dist` on a free port of loopback, without credentials. */
export async function openHttpServer(dist: string): Promise<BenchHttpServer> {
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  await chmod(home, 0o711);
  const limits = [
    '--rate-limit',
    'off',
    '--max-sessions',
    '1000',
    '--max-principal-sessions',
    '1000',
    '--max-running-commands',
    '1000',
  ];
  const flags = ['--transport', 'http', '--port', '0', '--state-dir', join(home, 's'), ...limits];
  const child = spawn(process.execPath, [join(dist, 'main.js'), ...flags], {
    cwd: home,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  let logged = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      logged += chunk.toString();
      const found = /"url":"([^"]+)"/.exec(logged)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the server did not start:\n${logged}`)));
  });
  const clients: Client[] = [];
  return {
    pid: child.pid ?? 0,
    async connect() {
      const client = new Client({ name: 'bench', version: '1' });
      clients.push(client);
      await client.connect(new StreamableHTTPClientTransport(new URL(url)));
      await client.listTools();
      return {
        async call(name, args = {}) {
          const result = CallToolResultSchema.parse(await client.callTool({ name, arguments: args }));
          if (result.isError) throw new Error(`${name}: ${JSON.stringify(result.content)}`);
          return result.structuredContent ?? {};
        },
      };
    },
    async close() {
      await Promise.all(clients.map((client) => client.close()));
      child.kill('SIGTERM');
      await exited;
      // The clean-up of a session that ended late may still be removing files.
      await rm(home, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}
