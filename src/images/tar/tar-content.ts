/** The bytes of a tar archive and the content of its entries, read in order with bounded memory. */
import type { SparseMap } from './sparse-map.ts';
import { badArchive, printable, type TarHeader } from './tar-header.ts';

export interface EntryContent extends AsyncIterable<Uint8Array> {
  /** All of it, if it has arrived already, as that of most small files has: this takes no turn of the event loop. */
  whole(): Uint8Array | null;
}

/** The bytes of the archive, to be read in order. */
export class ArchiveBytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** The next `size` bytes if they have arrived, else null. */
  arrived(size: number): Buffer | null {
    if (this.#rest.length < size) return null;
    const bytes = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return bytes;
  }

  /** The next bytes, at most `max`; null at the end. */
  async some(max: number): Promise<Buffer | null> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return null;
      const { buffer, byteOffset, length } = next.value;
      this.#rest = Buffer.from(buffer, byteOffset, length);
    }
    const bytes = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes;
  }

  /** The next `size` bytes, fewer only at the end. */
  async upTo(size: number): Promise<Buffer> {
    const first = await this.some(size);
    if (first === null || first.length === size) return first ?? Buffer.alloc(0);
    const parts = [first];
    let left = size - first.length;
    for (let part = await this.some(left); part !== null; part = left > 0 ? await this.some(left) : null) {
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }
}

/** The content of one entry; whatever its reader leaves is skipped. */
export class Content implements EntryContent {
  readonly #bytes: ArchiveBytes;
  readonly #path: string;
  #left: number;

  /** @param stored its bytes in the archive */
  constructor(bytes: ArchiveBytes, { path }: TarHeader, stored: number) {
    this.#bytes = bytes;
    this.#path = path;
    this.#left = stored;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const part = await this.#bytes.some(this.#left);
      if (part === null) throw badArchive(`it ends within ${printable(this.#path)}`);
      this.#left -= part.length;
      yield part;
    }
  }

  whole(): Buffer | null {
    const bytes = this.#bytes.arrived(this.#left);
    if (bytes !== null) this.#left = 0;
    return bytes;
  }

  /** Skips what is left of it, and what it is padded with. */
  async skip(padding: number): Promise<void> {
    if (this.#left > 0) for await (const _ of this);
    if (padding > 0 && this.#bytes.arrived(padding) === null) await this.#bytes.upTo(padding);
  }
}

/** Holes are passed on in parts of it. */
const ZEROS = Buffer.alloc(262_144);

function* zeros(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, left);
}

/** The content of a sparse file, with zeros for its holes. */
export class SparseContent implements EntryContent {
  readonly #data: Content;
  readonly #map: SparseMap;

  constructor(data: Content, map: SparseMap) {
    this.#data = data;
    this.#map = map;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const { size, segments } = this.#map;
    const parts = this.#data[Symbol.asyncIterator]();
    let part: Buffer = ZEROS.subarray(0, 0);
    let at = 0;
    for (const { offset, length } of segments) {
      yield* zeros(offset - at);
      for (let left = length; left > 0; ) {
        if (part.length === 0) {
          const next = await parts.next();
          if (next.done === true) throw new Error('a sparse file with less data than its map has');
          part = next.value;
        }
        const taken = part.subarray(0, left);
        part = part.subarray(taken.length);
        left -= taken.length;
        yield taken;
      }
      at = offset + length;
    }
    yield* zeros(size - at);
  }

  /** Not in one piece: it can be far longer than what the archive has of it. */
  whole(): null {
    return null;
  }
}
