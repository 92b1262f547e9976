/** TLS client hellos of a real client, and split or extended variants. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { connect } from 'node:tls';

/** The first bytes sent by Node's TLS client. */
export async function clientHello(servername: string, protocols?: string[]): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const ALPNProtocols = protocols ?? [];
  const client = connect({ host: '127.0.0.1', port, servername, ALPNProtocols, rejectUnauthorized: false });
  client.on('error', () => client.destroy());
  const [socket] = await once(server, 'connection');
  const [chunk] = await once(socket, 'data');
  client.destroy();
  socket.destroy();
  server.close();
  return Buffer.from(chunk);
}

/** The same handshake in records of a few bytes each, as RFC 8446, 5.1 allows. */
export function inSmallRecords(hello: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 5; at < hello.length; at += size) {
    const piece = hello.subarray(at, at + size);
    parts.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece);
  }
  return Buffer.concat(parts);
}

/**
 * The same hello with an encrypted_client_hello extension of four bytes, like the GREASE that browsers send.
 */
export function withEncryptedHello(hello: Buffer): Buffer {
  const message = hello.subarray(9);
  let at = 34;
  at += 1 + message.readUInt8(at);
  at += 2 + message.readUInt16BE(at);
  at += 1 + message.readUInt8(at);
  const extension = Buffer.from([0xfe, 0x0d, 0, 4, 0, 0, 0, 0]);
  const body = Buffer.concat([message, extension]);
  body.writeUInt16BE(message.readUInt16BE(at) + extension.length, at);
  const header = Buffer.alloc(9);
  header.set([22, 3, 1]);
  header.writeUInt16BE(body.length + 4, 3);
  header.writeUInt8(1, 5);
  header.writeUIntBE(body.length, 6, 3);
  return Buffer.concat([header, body]);
}
