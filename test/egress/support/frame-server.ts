/** HTTP/2 servers written frame by frame, which behave as no library would. */
import type { TLSSocket } from 'node:tls';
import type { SeenRequest } from './ruled-servers.ts';

const [DATA, HEADERS, SETTINGS, PING] = [0, 1, 4, 6];
const [ACK, END_STREAM, END_HEADERS] = [1, 1, 4];
const [PREFACE, HEAD] = [24, 9];
const STATUS_200 = Buffer.from([0x88]);
/** The response of `burst.api.test`, in frames of maximum size. */
const PIECES = 8;
const PIECE = Buffer.alloc(16_384, 'x');
export const BURST = PIECES * PIECE.length;

function frame(kind: number, flags: number, stream: number, body: Buffer): Buffer {
  const head = Buffer.alloc(HEAD);
  head.writeUIntBE(body.length, 0, 3);
  head.writeUInt8(kind, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/**
 * `burst.api.test` sends its answer and the end in one write, between pings that make the reader write.
 * `mute.api.test` records requests by their streams, answers none and acknowledges only the first SETTINGS.
 * @returns whether the connection is to one of them
 */
export function serveFrames(seen: SeenRequest[], socket: TLSSocket): boolean {
  const host = String(socket.servername);
  if (host !== 'burst.api.test' && host !== 'mute.api.test') return false;
  socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
  let settings = 0;
  const take = (kind: number, flags: number, stream: number) => {
    if (kind === SETTINGS && (flags & ACK) === 0 && (host !== 'mute.api.test' || settings++ === 0))
      socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
    if (kind !== HEADERS) return;
    seen.push({ protocol: 'h2', method: '', host, path: `/${stream}`, headers: {}, names: [] });
    if (host === 'burst.api.test') socket.end(burst(stream));
  };
  let left = Buffer.alloc(0);
  let at = PREFACE;
  socket.on('data', (bytes: Buffer) => {
    left = Buffer.concat([left, bytes]);
    while (left.length >= at + HEAD && left.length >= at + HEAD + left.readUIntBE(at, 3)) {
      take(left.readUInt8(at + 3), left.readUInt8(at + 4), left.readUInt32BE(at + 5));
      left = left.subarray(at + HEAD + left.readUIntBE(at, 3));
      at = 0;
    }
  });
  return true;
}

function burst(stream: number): Buffer {
  const pieces = Array.from({ length: PIECES }, (_, index) => [
    frame(PING, 0, 0, Buffer.alloc(8)),
    frame(DATA, index === PIECES - 1 ? END_STREAM : 0, stream, PIECE),
  ]);
  return Buffer.concat([frame(HEADERS, END_HEADERS, stream, STATUS_200), ...pieces.flat()]);
}
