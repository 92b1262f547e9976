import type { ServerResponse } from 'node:http';

/** JSON-RPC leaves these codes to servers. */
const SERVER_ERROR = -32_000;
export const SESSION_NOT_FOUND = -32_001;

/** A request that is answered with an HTTP error before any session sees it. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
  /** Default: `SERVER_ERROR`. */
  readonly code?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers with a JSON-RPC error without an id. Does nothing once the response has begun. */
export function refuse(response: ServerResponse, { status, message, code, headers }: Refusal): void {
  const error = { code: code ?? SERVER_ERROR, message };
  sendJson(response, status, { jsonrpc: '2.0', id: null, error }, headers);
}

/** Does nothing once the response has begun. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
