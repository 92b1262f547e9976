/** What speaks the revisions with sessions: loading this loads their library. */

import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { type Connection, createServer, initializeError } from '../create-server.ts';
import type { ServerOptions } from '../tool-calls.ts';

export { initializeError };

/** The two ends of a new session, which are not connected yet. */
export function createEnds(
  options: ServerOptions,
  { id, eventStore, onInitialized }: { id: string; eventStore: EventStore; onInitialized: () => void },
): { transport: WebStandardStreamableHTTPServerTransport; connection: Connection } {
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: () => id,
    eventStore,
    onsessioninitialized: onInitialized,
  });
  return { transport, connection: createServer(options) };
}
