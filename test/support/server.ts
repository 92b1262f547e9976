/** The real server as a child process, driven by the SDK's client over its standard streams. */
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { RequestOptions } from '@modelcontextprotocol/sdk/shared/protocol.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { SHARED_VALIDATORS } from './client/shared-validators.ts';
import { warm } from './host/warm-state.ts';
import { waitForCleanUps } from './leftovers.ts';
import { CALL_TIMEOUT_MS, PATIENT } from './timeout-factor.ts';

export const SERVER = join(import.meta.dirname, '../../dist/main.js');

export interface ServerOptions {
  args?: string[];
  env?: Record<string, string>;
  /** If omitted, the server gets a new state directory, removed by `close`. */
  stateDir?: string;
  /** If omitted, an empty directory, removed by `close`. It is the folder that `local_path` may use. */
  cwd?: string;
  /** Changes the command to run as another user, in the repository's folder. */
  wrap?: (argv: readonly string[]) => string[];
}

export interface Answer {
  structured: Record<string, unknown>;
  text: string;
  isError: boolean;
}

export interface RunningServer {
  client: Client;
  pid: number;
  stateDir: string;
  cwd: string;
  call(name: string, args?: Record<string, unknown>, options?: RequestOptions): Promise<Answer>;
  /** Everything logged so far. */
  stderr(): string;
  /**
   * Ends the session as a client does, by closing the server's input, and removes the folders made for it.
   */
  close(): Promise<void>;
}

/** Starts the built server. Answers are checked against the output schema of their tool by the client. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  // Short, since socket paths below it have a limit; searchable by all, since sandbox users work below it.
  const home = await mkdtemp(join(tmpdir(), 's-'));
  await chmod(home, 0o711);
  const stateDir = options.stateDir ?? join(home, 's');
  const cwd = options.cwd ?? join(home, 'w');
  await mkdir(cwd, { recursive: true });
  if (options.stateDir === undefined && options.wrap === undefined) await warm(stateDir);

  const flags = ['--state-dir', stateDir, '--log-level', 'warn', ...PATIENT, ...(options.args ?? [])];
  // Another user may not be able to pass the folders that lead to this process's files.
  const [command = '', ...args] = options.wrap?.(['node', 'dist/main.js', ...flags]) ?? [
    process.execPath,
    SERVER,
    ...flags,
  ];
  const transport = new StdioClientTransport({
    command,
    args,
    env: { PATH: process.env['PATH'] ?? '', TMPDIR: tmpdir(), ...options.env },
    cwd,
    stderr: 'pipe',
  });
  // From the start, so that a server that was killed meanwhile counts as closed.
  const closed = transport.stderr === null ? Promise.resolve() : once(transport.stderr, 'close');
  let logged = '';
  transport.stderr?.on('data', (chunk: Buffer) => {
    logged += chunk.toString('utf8');
  });
  const client = new Client({ name: 'test', version: '1' }, { jsonSchemaValidator: SHARED_VALIDATORS });
  const callOnce: RunningServer['call'] = async (name, args = {}, requestOptions) => {
    const result = CallToolResultSchema.parse(
      await client.callTool({ name, arguments: args }, undefined, {
        timeout: CALL_TIMEOUT_MS,
        ...requestOptions,
      }),
    );
    const text = result.content.map((block) => (block.type === 'text' ? block.text : '')).join('\n');
    return { structured: result.structuredContent ?? {}, text, isError: result.isError === true };
  };
  try {
    await client.connect(transport, { timeout: CALL_TIMEOUT_MS });
    await client.listTools(undefined, { timeout: CALL_TIMEOUT_MS });
  } catch (error) {
    await rm(home, { recursive: true, force: true });
    throw new Error(`the server did not start:\n${logged}`, { cause: error });
  }
  return {
    client,
    pid: transport.pid ?? 0,
    stateDir,
    cwd,
    async call(name, args = {}, requestOptions) {
      let answer = await callOnce(name, args, requestOptions);
      // Without `wait_ms`, a command counts as running in the background after 45 s, which a slow machine may
      // take.
      const waits = ['sandbox_run_command', 'command_wait'].includes(name) && args['wait_ms'] === undefined;
      while (waits && answer.structured['status'] === 'running') {
        const { command_id } = answer.structured;
        answer = await callOnce('command_wait', { command_id }, requestOptions);
      }
      return answer;
    },
    stderr: () => logged,
    async close() {
      await client.close();
      await closed;
      if (logged.includes('leaving them to recovery')) await waitForCleanUps(stateDir);
      await rm(home, { recursive: true, force: true });
    },
  };
}
