import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { z } from 'zod';
import { type Config, loadConfig } from '../../../src/config/config.ts';
import { type Connection, createServer } from '../../../src/server/create-server.ts';
import type { ServerOptions } from '../../../src/server/tool-calls.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { READ_ONLY } from '../../../tools/common/annotations.ts';
import { defineTool, type Tool, type ToolContext } from '../../../tools/common/tool.ts';
import { openWorld } from '../../registry/support/registry.ts';

export const config: Config = loadConfig(new Map(), {
  env: {},
  cwd: '/',
  homeDir: '/home/user',
  isRoot: false,
});

/** A tool with the given behaviour; its arguments are `text` and `count`. */
export function toolOf(
  name: string,
  handle: (args: { text?: string | undefined; count: number }, context: ToolContext) => Promise<unknown>,
): Tool {
  return defineTool({
    name,
    title: name,
    description: `The ${name} tool.`,
    toolsets: ['core'],
    annotations: READ_ONLY,
    input: z.strictObject({ text: z.string().optional(), count: z.int().min(0).default(1) }),
    output: z.object({ said: z.string().nullable() }),
    handle: async (args, context) => ({ structured: { said: String(await handle(args, context)) } }),
  });
}

export interface Served {
  client: Client;
  connection: Connection;
  /** The log, one JSON object per line. */
  logged(): string;
}

/** A server with these tools and a client, connected in this process. */
export async function serve(
  tools: readonly Tool[],
  {
    clientName = 'test',
    answers = config.answers,
    callTimeout = {},
    onOutcome = () => {},
  }: {
    clientName?: string;
    answers?: Config['answers'];
    callTimeout?: NonNullable<ServerOptions['callTimeout']>;
    onOutcome?: NonNullable<ServerOptions['onOutcome']>;
  } = {},
): Promise<Served> {
  let lines = '';
  const log = createLogger('debug', { write: (line: string) => (lines += line) });
  const { registry } = openWorld();
  const session = registry.openSession('local');
  const connection = createServer({
    session,
    tools,
    config: { ...config, answers },
    log,
    version: '1.2.3',
    callTimeout,
    onOutcome,
  });
  const client = new Client({ name: clientName, version: '1' });
  const [near, far] = InMemoryTransport.createLinkedPair();
  await Promise.all([connection.server.connect(far), client.connect(near)]);
  await client.listTools();
  return { client, connection, logged: () => lines };
}

/** The text of a result. */
export function textOf(result: unknown): string {
  const answer = z.object({ content: z.array(z.object({ text: z.string() })) }).parse(result);
  return answer.content.map(({ text }) => text).join('\n');
}

/** A promise and its resolve function. */
export function deferred<Value>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve = (_value: Value): void => {};
  const promise = new Promise<Value>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { promise, resolve };
}
