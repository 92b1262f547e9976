import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { createModernServer } from '../modern/modern-server.ts';
import { type ServerOptions, ToolCalls } from '../tool-calls.ts';
import type { Connection } from './connection.ts';
import type { StdioTransport } from './stdio-transport.ts';

/** Connects a client that speaks 2026-07-28 over the standard streams, where the process is the session. */
export function connectModern(transport: StdioTransport, options: ServerOptions): Connection {
  const calls = new ToolCalls(options);
  const served = serveStdio(() => createModernServer(calls, options), {
    transport,
    legacy: 'reject',
    onerror: (error) => options.log.debug({ err: error }, 'protocol error'),
  });
  return { endCalls: (reason) => calls.end(reason), close: () => served.close() };
}
