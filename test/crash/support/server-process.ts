/** The built server as a process that a test can end in any way, and a client of it. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { SERVER } from '../../support/server.ts';
import { CALL_TIMEOUT_MS } from '../../support/timeout-factor.ts';
import type { Place } from './place.ts';

/** Runs its arguments as a child with its own standard streams, and does nothing else. */
const INTERMEDIATE = `require('node:child_process').spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' })`;

export interface ServerProcess {
  /** That of the server, or of the process in between if there is one. */
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly pid: number;
  /** Resolves when the server's output is closed. */
  readonly exited: Promise<unknown>;
  /** Rejects with the text of an error result. */
  call(name: string, args?: Record<string, unknown>): Promise<Record<string, unknown>>;
  stderr(): string;
  /** Ends the input, as a client does when it exits. */
  close(): Promise<void>;
  /** SIGKILL; running calls reject. */
  kill(): Promise<void>;
}

/**
 * Starts a server in a place. `between`: as the child of another process. `stops`: it stops itself where
 * `stopAt` tells it to. `flags`: additional flags. `program`: another build of the server.
 */
export async function startServer(
  place: Place,
  options: { between?: boolean; stops?: boolean; flags?: string[]; program?: string } = {},
): Promise<ServerProcess> {
  const stops = options.stops === true ? ['--import', await preloadOf(place)] : [];
  const between = options.between === true ? ['-e', INTERMEDIATE] : [];
  const after = ['--log-level', 'warn', '--allow-dir', place.files, ...(options.flags ?? [])];
  const child = spawnServer(place, [...stops, ...between], after, options.program);
  const exited = Promise.all([once(child, 'exit'), once(child.stdout, 'close')]);
  let logged = '';
  child.stderr.on('data', (chunk: Buffer) => {
    logged += chunk.toString('utf8');
  });
  // A killed server reads no more; running calls reject themselves.
  child.stdin.on('error', () => {});
  const client = new Client({ name: 'crash-test', version: '1' });
  // Both directions use the same framing.
  await client.connect(new StdioServerTransport(child.stdout, child.stdin), { timeout: CALL_TIMEOUT_MS });
  const leave = async (end: () => void): Promise<void> => {
    end();
    await exited;
    await client.close();
  };
  return {
    child,
    pid: child.pid ?? 0,
    exited,
    async call(name, args = {}) {
      const request = { name, arguments: args };
      const result = CallToolResultSchema.parse(
        await client.callTool(request, undefined, { timeout: CALL_TIMEOUT_MS }),
      );
      if (result.isError) throw new Error(`${name}: ${JSON.stringify(result.content)}`);
      return result.structuredContent ?? {};
    },
    stderr: () => logged,
    close: () => leave(() => child.stdin.end()),
    kill: () => leave(() => child.kill('SIGKILL')),
  };
}

/** The place's own copy, readable for the user that the server runs as. */
async function preloadOf(place: Place): Promise<string> {
  const path = join(place.home, 'stop-at.mjs');
  await writeFile(path, await readFile(join(import.meta.dirname, 'stop-at.mjs')), { mode: 0o644 });
  return path;
}

/** Runs `sandbox-mcp clean` in a place. */
export async function clean(place: Place): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawnServer(place, [], ['clean']);
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, out, err };
}

function spawnServer(place: Place, before: string[], after: string[], own = SERVER) {
  const program = (server: string) => [...before, server, '--state-dir', place.stateDir, ...after];
  // Another user may not be able to pass the folders that lead to this process's files.
  const [command = '', ...args] =
    place.wrap === null
      ? [process.execPath, ...program(own)]
      : place.wrap(['node', ...program('dist/main.js')]);
  return spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: place.files,
    env: { PATH: process.env['PATH'], TMPDIR: process.env['TMPDIR'] },
  });
}
