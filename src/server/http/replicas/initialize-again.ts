/** Brings a protocol server into the state that its client knows from another replica. */
import type { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import { z } from 'zod';

const Initialize = z.looseObject({ params: z.record(z.string(), z.unknown()) });

/** What a client sent to initialize its session; it was checked before. */
export function initializeParams(message: unknown): Record<string, unknown> {
  return Initialize.safeParse(message).data?.params ?? {};
}

/** Repeats what the client sent to initialize the session; nobody sees the answer. */
export async function initializeAgain(
  transport: WebStandardStreamableHTTPServerTransport,
  sessionId: string,
  params: Record<string, unknown>,
): Promise<void> {
  await exchange(transport, {}, { jsonrpc: '2.0', id: 'initialize-again', method: 'initialize', params });
  const headers = { 'mcp-session-id': sessionId };
  await exchange(transport, headers, { jsonrpc: '2.0', method: 'notifications/initialized' });
}

async function exchange(
  transport: WebStandardStreamableHTTPServerTransport,
  more: Record<string, string>,
  parsedBody: object,
): Promise<void> {
  const headers = {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    ...more,
  };
  const request = new Request('http://localhost/mcp', { method: 'POST', headers });
  const answer = await transport.handleRequest(request, { parsedBody });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`A session could not be initialized again: ${text}`);
}
