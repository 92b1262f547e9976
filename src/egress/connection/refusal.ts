/** Tells a program that it was refused, as clearly as its protocol allows. */
import type { Duplex } from 'node:stream';
import { ALERT_ACCESS_DENIED } from './client-hello.ts';
import type { RedirectedConnection } from './context.ts';
import type { Protocol } from './detect-protocol.ts';

/** The response to a refused HTTP request. */
export function refusalBody(rule: string): string {
  return `Refused by the sandbox's network policy: ${rule}.\nsandbox_update_network_policy changes the policy.\n`;
}

/** Marks responses that come from the policy and not from the server. */
export const REFUSED_HEADER: readonly [name: string, value: string] = ['X-Sandbox-Network-Policy', 'refused'];

/** A complete HTTP/1.1 response; one that is `refused` also carries a header that says so. */
export function httpResponse(status: string, body: string, refused = true): string {
  const length = Buffer.byteLength(body);
  const mark = refused ? `${REFUSED_HEADER.join(': ')}\r\n` : '';
  return (
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${length}\r\n` +
    `${mark}Connection: close\r\n\r\n${body}`
  );
}

/**
 * Closes a connection with the clearest reason that its protocol can carry: a 403, a TLS alert, else a reset.
 */
export function refuseConnection(
  connection: RedirectedConnection,
  protocol: Protocol | null,
  rule: string,
): void {
  if (protocol === 'http') connection.endWith(Buffer.from(httpResponse('403 Forbidden', refusalBody(rule))));
  else if (protocol === 'tls') connection.endWith(ALERT_ACCESS_DENIED);
  else connection.reset();
}

const LINGER_MS = 2_000;

/**
 * Writes the final bytes and waits briefly until they are read: closing with unread input would reset the
 * connection and lose them.
 */
export function endGracefully(stream: Duplex, bytes: string | Buffer): void {
  const timer = setTimeout(() => stream.destroy(), LINGER_MS);
  stream.once('close', () => clearTimeout(timer));
  stream.once('end', () => stream.destroy());
  stream.resume();
  stream.end(bytes);
}
