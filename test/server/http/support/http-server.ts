import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { onTestFinished } from 'vitest';
import { type Config, loadConfig } from '../../../../src/config/config.ts';
import { FLAGS, type FlagName } from '../../../../src/config/flags.ts';
import { type HttpOptions, serveHttp } from '../../../../src/server/http/serve-http.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import type { Tool } from '../../../../tools/common/tool.ts';
import { TOOLS } from '../../../../tools/index.ts';
import { openWorld } from '../../../registry/support/registry.ts';

export interface HttpServer {
  /** Without `/mcp`. */
  readonly url: string;
  readonly world: ReturnType<typeof openWorld>;
  /** Sends the process a signal. */
  signal(): void;
  /** Resolves when the server has ended. */
  readonly ended: Promise<unknown>;
  logged(): string;
}

export interface HttpServerOptions extends Partial<Omit<HttpOptions, 'config' | 'registry' | 'log'>> {
  flags?: Partial<Record<FlagName, string | string[]>>;
  env?: Record<string, string>;
  tools?: readonly Tool[];
  world?: ReturnType<typeof openWorld>;
}

/** A server over HTTP on the engine in memory, on a free port, ended with the test. */
export async function startHttp(options: HttpServerOptions = {}): Promise<HttpServer> {
  const { flags = {}, env = {}, tools = TOOLS, world = openWorld(), ...rest } = options;
  const listeners: (() => void)[] = [];
  let lines = '';
  let ended: Promise<unknown> = Promise.resolve();
  const url = await new Promise<string>((resolve, reject) => {
    ended = serveHttp({
      config: httpConfig(flags, env),
      registry: world.registry,
      tools,
      log: createLogger('debug', { write: (line: string) => (lines += line) }),
      version: '1.2.3',
      process: { on: (event, listener) => (event === 'SIGTERM' ? listeners.push(listener) : null) },
      onListening: resolve,
      ...rest,
    });
    ended.catch(reject);
  });
  const signal = (): void => {
    for (const listener of listeners) listener();
  };
  onTestFinished(async () => {
    signal();
    signal();
    await ended;
  });
  return { url, world, signal, ended, logged: () => lines };
}

function httpConfig(flags: HttpServerOptions['flags'] & object, env: Record<string, string>): Config {
  const given = new Map<FlagName, string[]>([
    ['transport', ['http']],
    ['port', ['0']],
  ]);
  for (const { name } of FLAGS) {
    const value = flags[name];
    if (value !== undefined) given.set(name, [value].flat());
  }
  return loadConfig(given, { env, cwd: '/', homeDir: join('/home', 'user'), isRoot: false });
}

/** A client of the SDK, connected, closed with the test. */
export async function connect(
  server: HttpServer,
  token?: string,
): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
  const client = new Client({ name: 'test', version: '1' });
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), {
    requestInit: { headers },
  });
  await client.connect(transport);
  onTestFinished(() => client.close());
  return { client, transport };
}

export const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
};

/** A POST to `/mcp` as a client sends it; a string is sent as it is. */
export function post(
  server: HttpServer,
  message: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${server.url}/mcp`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  });
}
