import { createServer, initializeError } from '../create-server.ts';
import type { ServerOptions } from '../tool-calls.ts';
import type { Connection } from './connection.ts';
import type { StdioTransport } from './stdio-transport.ts';

/** Connects a client that speaks a revision up to 2025-11-25. `replay` are messages answered before. */
export async function connectLegacy(
  transport: StdioTransport,
  options: ServerOptions,
  replay: readonly string[],
): Promise<Connection> {
  const { server, endCalls } = createServer(options);
  transport.rejects = initializeError;
  await server.connect(transport);
  for (const line of replay) await transport.replay(line);
  return { endCalls, close: () => server.close() };
}
