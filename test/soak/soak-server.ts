/** The built server over HTTP, as the soak watches it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { SERVER } from '../support/server.ts';

/** Bearer tokens, one for each principal. */
export const TOKENS = ['ann', 'bob', 'cat', 'dan'].map((name) => ({
  name,
  token: `token-of-${name}-0123456789`,
}));

export interface SoakServer {
  readonly url: string;
  readonly pid: number;
  /** The value of a metric without labels, or with these; 0 if there is none. */
  metric(name: string): Promise<number>;
  /** Resident memory in megabytes. */
  residentMb(): number;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
  logged(): string;
}

/** Starts the server with limits that only the machine sets. */
export async function startSoakServer(stateDir: string, idle: string): Promise<SoakServer> {
  const limits = [
    'max-sessions',
    'max-principal-sessions',
    'max-sandboxes',
    'max-vcpus',
    'max-running-commands',
  ];
  const flags = [
    ...['--transport', 'http', '--port', '0', '--state-dir', stateDir, '--session-idle', idle],
    ...['--rate-limit', 'off', ...limits.flatMap((name) => [`--${name}`, '1000'])],
  ];
  const env = {
    PATH: process.env['PATH'] ?? '',
    TMPDIR: tmpdir(),
    SANDBOX_MCP_AUTH_TOKENS: TOKENS.map(({ name, token }) => `${name}:${token}`).join(),
  };
  const child = spawn(process.execPath, [SERVER, ...flags], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit').then(() => child.exitCode);
  let logged = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      logged += chunk.toString('utf8');
      const found = /"url":"([^"]+)"/.exec(logged)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the server did not start:\n${logged}`)));
  });
  return {
    url,
    pid: child.pid ?? 0,
    async metric(name) {
      const text = await (await fetch(new URL('/metrics', url))).text();
      const line = text.split('\n').find((entry) => entry.startsWith(`${name} `));
      return Number(line?.slice(name.length + 1) ?? 0);
    },
    residentMb: () => {
      const [, kilobytes] =
        /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
      return Number(kilobytes) / 1_024;
    },
    signal: (name) => void child.kill(name),
    exited,
    logged: () => logged,
  };
}
