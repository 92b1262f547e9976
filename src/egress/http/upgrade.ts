/** Requests that upgrade their connection to another protocol, such as WebSocket. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { endToEndHeaders } from './request.ts';

/** Protocols that contain requests, which would not be checked. */
const TUNNELS_REQUESTS = /^(h2c?|h3|http|tls|connect-)/i;
const NO_UPGRADE = ['Connection', 'close'] as const;

/**
 * The headers that ask for an upgrade, without protocols that may not pass; if none is left, the request is
 * an ordinary one.
 */
export function upgradeHeaders(wanted: string): readonly string[] {
  const protocols = wanted
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '' && !TUNNELS_REQUESTS.test(token));
  return protocols.length === 0 ? NO_UPGRADE : ['Connection', 'Upgrade', 'Upgrade', protocols.join(', ')];
}

/**
 * Forwards a server's response to an upgrade request: the upgraded connection, or an ordinary response.
 * @param wanted the headers from `upgradeHeaders`
 * @param head what the program has already sent after its request
 */
export function forwardUpgrade(
  upstream: ClientRequest,
  wanted: readonly string[],
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    upstream.once('error', reject);
    upstream.once('response', (response) => {
      // Not upgraded: an ordinary response, which ends with the connection.
      socket.write(
        head11(response, [...endToEndHeaders(response, 'transfer-encoding'), 'Connection', 'close']),
      );
      pipeline(response, socket).then(resolve, reject);
    });
    upstream.once('upgrade', (response, up, upHead) => {
      if (!wanted.includes('Upgrade')) {
        up.destroy();
        reject(new Error('the server responded with an upgrade that was not requested'));
        return;
      }
      socket.write(head11(response, response.rawHeaders));
      if (upHead.length > 0) socket.write(upHead);
      if (head.length > 0) up.write(head);
      up.on('error', () => socket.destroy());
      socket.on('error', () => up.destroy());
      up.once('close', () => socket.destroy());
      up.pipe(socket);
      socket.pipe(up);
      resolve();
    });
  });
}

function head11(response: IncomingMessage, headers: readonly string[]): string {
  const lines = [`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
