/** The built server as one of several replicas, and the store that they share. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverEnvironment, vercelArguments } from '../../../engines/vercel/support/vercel-engines.ts';
import type { VercelApi } from '../../../fakes/vercel/index.ts';
import { SERVER } from '../../../support/server.ts';

export interface ReplicaProcess {
  /** Without `/mcp`. */
  readonly url: string;
  kill(signal: NodeJS.Signals): void;
  readonly exited: Promise<number | null>;
  /** What it has logged so far. */
  logged(): string;
  /** Resolves once its log has this text. */
  logs(text: string): Promise<void>;
}

export async function startReplica(options: {
  api: Pick<VercelApi, 'url' | 'credentials'>;
  store: string;
  stateDir: string;
  tokens: Readonly<Record<string, string>>;
}): Promise<ReplicaProcess> {
  const { api, store, stateDir, tokens } = options;
  const flags = [
    ...['--transport', 'http', '--port', '0', '--state-dir', stateDir, '--store', store],
    ...vercelArguments(api),
  ];
  const env = {
    PATH: process.env['PATH'] ?? '',
    TMPDIR: tmpdir(),
    SANDBOX_MCP_AUTH_TOKENS: Object.entries(tokens)
      .map((entry) => entry.join(':'))
      .join(','),
    ...serverEnvironment(api),
  };
  const child = spawn(process.execPath, [SERVER, ...flags], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit').then(() => child.exitCode);
  let logged = '';
  const waiting = new Set<() => void>();
  child.stderr.on('data', (chunk: Buffer) => {
    logged += chunk.toString('utf8');
    for (const check of waiting) check();
  });
  const logs = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (!logged.includes(text)) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
      void exited.then(() => reject(new Error(`the server has exited before it logged ${text}:\n${logged}`)));
    });
  await logs('"listening"');
  const url = /"url":"([^"]+)\/mcp"/.exec(logged)?.[1] ?? '';
  return { url, kill: (signal) => void child.kill(signal), exited, logged: () => logged, logs };
}

export interface RedisServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Debian's server, without anything on disk. */
export async function startRedis(folder: string): Promise<RedisServer> {
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', [...args, '--dir', folder, '--pidfile', join(folder, 'redis.pid')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const exited = once(child, 'exit');
  let logged = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      logged += chunk.toString('utf8');
      if (/ready to accept connections/i.test(logged)) resolve();
    });
    child.once('exit', () => reject(new Error(`redis-server has exited:\n${logged}`)));
  });
  return {
    url: `redis://127.0.0.1:${port}/0`,
    async close() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
