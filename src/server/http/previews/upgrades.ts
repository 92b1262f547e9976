import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PreviewProxy } from './preview-proxy.ts';

type Limits = Parameters<typeof createServer>[0] & object;

/** Not passed on: without them the request is a plain one. */
const UPGRADE_HEADERS = ['upgrade', 'connection', 'http2-settings'];

/**
 * Passes WebSockets for previews on, and answers all other requests that offer to upgrade as if they did not:
 * some clients offer HTTP/2 with every request to a plain address. `closeAll` ends what is then open.
 */
export function serveUpgrades(
  server: Server,
  previews: PreviewProxy,
  listener: RequestListener,
  limits: Limits,
): { closeAll(): void } {
  const plain = createServer(limits, listener);
  // It never listens, but only this event makes Node enforce the time limits of requests.
  plain.emit('listening');
  const open = new Set<Duplex>();
  server.on('upgrade', (request, socket, head) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket';
    if (!isWebSocket || !previews.concerns(request)) return decline(plain, request, socket, head);
    previews.upgrade(request, socket, head).catch(() => socket.destroy());
  });
  return {
    closeAll: () => {
      for (const socket of open) socket.destroy();
      plain.close();
    },
  };
}

/**
 * Node cannot decline an upgrade for a single request. The request is written back to its connection, which a
 * server without upgrades then serves.
 */
function decline(plain: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const [name = '', value = ''] = request.rawHeaders.slice(index, index + 2);
    if (!UPGRADE_HEADERS.includes(name.toLowerCase())) lines.push(`${name}: ${value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  plain.emit('connection', socket);
}
