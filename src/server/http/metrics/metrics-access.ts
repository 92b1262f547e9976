import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../../../shared/network/loopback.ts';
import { bearerToken } from '../bearer-token.ts';
import type { Refusal } from '../reply.ts';

/** Headers of requests that a reverse proxy passes on: these come from elsewhere, whatever their address. */
const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-real-ip'];

/**
 * Lets those read the metrics who know the token; without one, only programs on this machine.
 *
 * @param digest the token's SHA-256 digest in hexadecimal
 */
export function checkMetricsAccess(request: IncomingMessage, digest: string | null): Refusal | null {
  if (digest !== null) {
    const token = bearerToken(request.headers.authorization ?? '') ?? '';
    const given = createHash('sha256').update(token).digest();
    if (timingSafeEqual(given, Buffer.from(digest, 'hex'))) return null;
    const message = 'The token of SANDBOX_MCP_METRICS_TOKEN is required.';
    return { status: 401, message, headers: { 'www-authenticate': 'Bearer' } };
  }
  const address = request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  if (isLoopback(address) && PROXY_HEADERS.every((name) => request.headers[name] === undefined)) return null;
  const message = 'Metrics are for this machine only, unless SANDBOX_MCP_METRICS_TOKEN is set.';
  return { status: 403, message };
}
