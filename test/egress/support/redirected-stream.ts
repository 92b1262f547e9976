/** A connection for a gateway without agent and relay: a socket in this process replaces them. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { ByteCounts, DialMode, RedirectedConnection } from '../../../src/egress/connection/context.ts';

/** @param stream paused, and not read from */
export function redirectedBy(stream: Socket, to: { address: string; port: number }): RedirectedConnection {
  const seen: Buffer[] = [];
  let upstream: Socket | null = null;
  const closed = new Promise<ByteCounts>((resolve) => {
    stream.once('close', () => {
      upstream?.destroy();
      resolve({ in: stream.bytesWritten, out: stream.bytesRead });
    });
  });
  stream.on('error', () => stream.destroy());
  const putBack = () => {
    const bytes = Buffer.concat(seen.splice(0));
    if (bytes.length > 0) stream.unshift(bytes);
  };
  return {
    ...to,
    closed,
    async nextChunk(timeoutMs) {
      const next = await nextChunk(stream, timeoutMs);
      if (Buffer.isBuffer(next)) seen.push(next);
      return next;
    },
    async dial(address: string, port: number, how: DialMode) {
      if (how !== 'pass') throw new Error('this stand-in only passes connections on');
      const socket = connect({ host: address, port, allowHalfOpen: true });
      upstream = socket;
      socket.on('error', () => stream.destroy());
      await once(socket, 'connect');
      socket.once('close', () => stream.destroy());
      putBack();
      stream.pipe(socket).pipe(stream);
      return null;
    },
    release: () => undefined,
    async takeStream() {
      if (stream.destroyed) return null;
      putBack();
      return stream;
    },
    endWith(words) {
      stream.resume();
      stream.end(words);
    },
    reset: () => stream.destroy(),
  };
}

function nextChunk(stream: Socket, timeoutMs: number): Promise<Buffer | 'end' | 'timeout'> {
  return new Promise((resolve) => {
    const done = (result: Buffer | 'end' | 'timeout') => {
      clearTimeout(timer);
      stream.off('readable', onReadable);
      stream.off('end', onEnd);
      stream.off('close', onEnd);
      resolve(result);
    };
    const onReadable = () => {
      const chunk: unknown = stream.read();
      if (Buffer.isBuffer(chunk)) done(chunk);
    };
    const onEnd = () => done('end');
    const timer = setTimeout(() => done('timeout'), timeoutMs);
    stream.on('readable', onReadable);
    stream.once('end', onEnd);
    stream.once('close', onEnd);
    if (stream.destroyed || stream.readableEnded) onEnd();
  });
}
