/** Decompresses archives: plain, gzip or Zstandard, detected by their first bytes, not by name. */

import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { SandboxError } from '../shared/errors.ts';
import type { ByteLimit } from './byte-limit.ts';

type Bytes = AsyncIterable<Uint8Array>;

/** First bytes of the known formats, including those that are recognized only to refuse them by name. */
const MAGIC: [kind: 'gzip' | 'zstd' | 'xz' | 'bzip2', bytes: number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
];
const LONGEST_MAGIC = 6;
/**
 * The default chunk of 16 KiB costs more in switches of threads than in decompression. Chunks are passed on one by one:
 * a stream of bytes would copy those that are waiting into one.
 */
const GUNZIP = { chunkSize: 65_536, readableObjectMode: true, readableHighWaterMark: 4 };
/** Input per step: repetitive data can expand 32,768 times. */
const ZSTD_TURN = 4_096;

function kindOf(head: Uint8Array) {
  return MAGIC.find(([, bytes]) => bytes.every((byte, at) => head[at] === byte))?.[0] ?? null;
}

/** Reads until the first bytes have arrived; returns them and the complete stream. */
async function readHead(source: Bytes): Promise<{ head: Buffer; all: Bytes }> {
  const iterator = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < LONGEST_MAGIC) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      yield head;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
        yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { head, all: all() };
}

async function* gunzip(source: Bytes): AsyncGenerator<Uint8Array> {
  // An error at either end reaches the reader of the last stream.
  yield* pipeline(source, createGunzip(GUNZIP), () => {});
}

async function* unzstd(source: Bytes): AsyncGenerator<Uint8Array> {
  let out: Uint8Array[] = [];
  const decompressor = new Decompress((data) => {
    if (data.length > 0) out.push(data);
  });
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += ZSTD_TURN) {
      decompressor.push(chunk.subarray(at, at + ZSTD_TURN));
      const ready = out;
      out = [];
      yield* ready;
    }
  }
  decompressor.push(new Uint8Array(0), true);
  yield* out;
}

async function* counted(source: Bytes, limit: ByteLimit): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    limit.add(chunk.length);
    yield chunk;
  }
}

/** The decompressed archive. Fails with the decompressor's message, or `limit_exceeded`. */
export async function* decompressed(source: Bytes, limit: ByteLimit): AsyncGenerator<Uint8Array> {
  const outer = await readHead(source);
  const kind = kindOf(outer.head);
  if (kind === 'xz' || kind === 'bzip2') {
    throw new SandboxError('unsupported', `The archive is compressed with ${kind}.`, {
      hint: 'Use a plain archive, or one compressed with gzip or zstd.',
    });
  }
  const inner = await readHead(
    kind === 'gzip' ? gunzip(outer.all) : kind === 'zstd' ? unzstd(outer.all) : outer.all,
  );
  if (kind !== null && kindOf(inner.head) !== null) {
    throw new SandboxError('invalid_argument', 'The archive is compressed twice.', {
      hint: 'Decompress it once and import the result.',
    });
  }
  yield* counted(inner.all, limit);
}
