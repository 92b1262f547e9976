import type { IncomingMessage, ServerResponse } from 'node:http';

const REQUEST_HEADERS =
  'authorization, content-type, last-event-id, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id';
const RESPONSE_HEADERS = 'mcp-session-id, www-authenticate, retry-after';

/**
 * Lets a page whose `Origin` was accepted read the response. True if the request was a preflight, which is
 * then answered.
 */
export function allowCrossOrigin(request: IncomingMessage, response: ServerResponse): boolean {
  const { origin } = request.headers;
  if (origin === undefined) return false;
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('access-control-expose-headers', RESPONSE_HEADERS);
  response.setHeader('vary', 'Origin');
  if (request.method !== 'OPTIONS') return false;
  const headers = {
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': REQUEST_HEADERS,
    'access-control-max-age': '600',
  };
  response.writeHead(204, headers).end();
  return true;
}
