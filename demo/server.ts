/** The real server as a child process, and the SDK's client connected to it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { type CallToolResult, CallToolResultSchema, type Progress } from '@modelcontextprotocol/sdk/types.js';
import type { z } from 'zod';
import { anySignal } from '../src/shared/async/any-signal.ts';
import { identify, isProcessAlive, type ProcessIdentity } from '../src/shared/process-identity.ts';
import { DemoError } from './demo-error.ts';

const SERVER = join(import.meta.dirname, '../dist/main.js');
/**
 * Variables that determine a user's state directory and runtime; nothing else of the environment is passed
 * on.
 */
const INHERITED = [
  'XDG_STATE_HOME',
  'XDG_RUNTIME_DIR',
  'SANDBOX_MCP_STATE_DIR',
  'SANDBOX_MCP_OCI_RUNTIME',
] as const;
/** Longer than the server's own limit: it answers any call by then. */
const CALL_TIMEOUT_MS = 120_000;
const EXIT_TIMEOUT_MS = 60_000;
const MAX_LOGGED = 4_000;

export interface CallOptions {
  /** Called with each line of progress. */
  onProgress?: (line: string) => void;
}

/** The environment in which the server is started. */
export function serverEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const chosen = INHERITED.flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...getDefaultEnvironment(), ...Object.fromEntries(chosen) };
}

/** A running server with its only client. */
export class DemoServer {
  readonly process: ProcessIdentity;
  readonly #client: Client;
  readonly #signal: AbortSignal;

  private constructor(client: Client, process: ProcessIdentity, signal: AbortSignal) {
    this.#client = client;
    this.process = process;
    this.#signal = signal;
  }

  /**
   * Starts the built server with `cwd` as its working directory and `allowDir` as a further folder that it
   * may write to.
   * @throws DemoError if it does not start
   */
  static async start(
    options: { cwd: string; allowDir: string; env: Record<string, string> },
    signal: AbortSignal,
  ): Promise<DemoServer> {
    if (!existsSync(SERVER)) throw new DemoError('The server is not built yet: run `npm run build`.');
    const { cwd, env } = options;
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [SERVER, '--log-level', 'warn', '--allow-dir', options.allowDir],
      cwd,
      env,
      stderr: 'pipe',
    });
    let logged = '';
    transport.stderr?.on('data', (chunk: Buffer) => {
      logged = (logged + chunk.toString('utf8')).slice(-MAX_LOGGED);
    });
    const client = new Client({ name: 'sandbox-mcp-demo', version: '1' });
    try {
      await client.connect(transport, { signal: anySignal([signal]), timeout: CALL_TIMEOUT_MS });
    } catch (error) {
      await client.close();
      signal.throwIfAborted();
      throw new DemoError(`The server did not start: ${logged.trim() || messageOf(error)}`);
    }
    const identity = identify(transport.pid ?? 0);
    if (identity === null) throw new DemoError('The server exited right after its start.');
    return new DemoServer(client, identity, signal);
  }

  /** `sandbox-mcp 0.1.0`. */
  get name(): string {
    const version = this.#client.getServerVersion();
    return `${version?.name ?? 'unknown'} ${version?.version ?? ''}`.trim();
  }

  /**
   * Calls a tool and returns its structured content.
   * @throws DemoError with the tool's message if it returns an error, or if no result comes
   */
  async call<Schema extends z.ZodType>(
    tool: string,
    args: Record<string, unknown>,
    answer: Schema,
    { onProgress }: CallOptions = {},
  ): Promise<z.output<Schema>> {
    const result = await this.#request(tool, args, onProgress);
    if (result.isError !== true) return answer.parse(result.structuredContent);
    throw new DemoError(`${tool} failed. ${textOf(result, ' ')}`);
  }

  /** Calls a tool and returns the text that a model reads, also for an error. */
  async text(tool: string, args: Record<string, unknown>): Promise<string> {
    return textOf(await this.#request(tool, args), '\n');
  }

  /** @throws DemoError if no result comes */
  async #request(
    tool: string,
    args: Record<string, unknown>,
    onProgress?: (line: string) => void,
  ): Promise<CallToolResult> {
    const request = {
      // A separate signal for each call: the SDK never removes its listener from a signal.
      signal: anySignal([this.#signal]),
      timeout: CALL_TIMEOUT_MS,
      ...(onProgress && {
        onprogress: ({ message }: Progress) => message !== undefined && onProgress(message),
      }),
    };
    try {
      return CallToolResultSchema.parse(
        await this.#client.callTool({ name: tool, arguments: args }, undefined, request),
      );
    } catch (error) {
      this.#signal.throwIfAborted();
      throw new DemoError(`${tool} got no response: ${messageOf(error)}`);
    }
  }

  /**
   * Ends the session as a client does, by closing the server's input, and waits until the process has exited.
   * @throws DemoError if it does not exit in time
   */
  async close(): Promise<void> {
    await this.#client.close();
    const deadline = performance.now() + EXIT_TIMEOUT_MS;
    while (isProcessAlive(this.process)) {
      if (performance.now() > deadline)
        throw new DemoError(`The server, process ${this.process.pid}, is still running.`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

function textOf(result: CallToolResult, separator: string): string {
  return result.content.map((block) => (block.type === 'text' ? block.text : '')).join(separator);
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
