/**
 * Reads a tar archive entry by entry, in order, with bounded memory. The libraries decode names as UTF-8,
 * which loses other names, reject what layers contain (whiteouts that are hard links, times before 1970, no
 * end blocks), or both.
 */
import { MAX_TAR_META_BYTES } from '../shared/fs/tar-limits.ts';
import {
  BLOCK,
  badArchive,
  parseHeader,
  parsePax,
  printable,
  type TarHeader,
  withPax,
} from './image-tar-header.ts';

/** An entry of the archive. Names have one character per byte (latin1). */
export interface TarEntry {
  kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device';
  /** Relative to the archive's root, without `.` and empty parts; empty for the root itself. */
  path: string;
  /** As written in the archive; empty for all but links. */
  link: string;
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds since the epoch; may be negative. */
  mtime: number;
  size: number;
  /** What is not read is skipped. */
  content: EntryContent;
}

export interface EntryContent extends AsyncIterable<Uint8Array> {
  /** All of it, if it has arrived already, as that of most small files has: this takes no turn of the event loop. */
  whole(): Uint8Array | null;
}

const KINDS: Partial<Record<string, TarEntry['kind']>> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'device',
};
/** Linux ids have 32 bits; all ones means "no id". */
const MAX_ID = 4_294_967_294;

/**
 * Normalizes an archive path to one relative to the root; ignores a leading slash, as every tar does.
 * @throws `invalid_argument` for a path that leads outside the root
 */
export function pathInside(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw badArchive(`${printable(path)} points outside of it`);
  return parts.join('/');
}

function idOf(id: number): number {
  if (!Number.isSafeInteger(id) || id < 0 || id > MAX_ID)
    throw badArchive(`an entry has the invalid owner id ${id}`);
  return id;
}

/** The bytes of the archive, to be read in order. */
class ArchiveBytes {
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
class Content implements EntryContent {
  readonly #bytes: ArchiveBytes;
  readonly #path: string;
  #left: number;

  constructor(bytes: ArchiveBytes, { path, size }: TarHeader) {
    this.#bytes = bytes;
    this.#path = path;
    this.#left = size;
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

/**
 * Content is padded to whole blocks; some writers (umoci) leave out the padding at the end of the archive.
 */
const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;

/** What extension headers say about the next entry. */
class Extensions {
  #global: ReadonlyMap<string, string> = new Map();
  #next = new Map<string, string>();

  static isExtension({ type }: TarHeader): boolean {
    return 'xXgLK'.includes(type);
  }

  async read({ type, size }: TarHeader, bytes: ArchiveBytes): Promise<void> {
    if (size > MAX_TAR_META_BYTES) {
      throw badArchive(`it has a header of ${size} bytes; the maximum is ${MAX_TAR_META_BYTES}`);
    }
    const body = await bytes.upTo(size);
    if (body.length < size) throw badArchive('it ends within a header');
    await bytes.upTo(padding(size));
    if (type === 'g') this.#global = new Map([...this.#global, ...parsePax(body)]);
    else if (type === 'L' || type === 'K') {
      const end = body.indexOf(0);
      const name = body.toString('latin1', 0, end < 0 ? body.length : end);
      this.#next.set(type === 'L' ? 'path' : 'linkpath', name);
    } else for (const [keyword, value] of parsePax(body)) this.#next.set(keyword, value);
  }

  /** Applies them to a header, once. */
  apply(header: TarHeader): TarHeader {
    const records = this.#global.size === 0 ? this.#next : new Map([...this.#global, ...this.#next]);
    this.#next = new Map();
    return records.size === 0 ? header : withPax(header, records);
  }
}

function entryOf(header: TarHeader, content: Content): TarEntry {
  const kind = KINDS[header.type];
  if (kind === undefined) {
    throw badArchive(`${printable(header.path)} has the unsupported type ${JSON.stringify(header.type)}`);
  }
  return {
    kind,
    path: pathInside(header.path),
    link: kind === 'symlink' || kind === 'hardlink' ? header.link : '',
    mode: header.mode & 0o7777,
    uid: idOf(header.uid),
    gid: idOf(header.gid),
    mtime: Math.floor(header.mtime),
    size: header.size,
    content,
  };
}

/**
 * Calls `visit` for each entry in order; content that it does not read is skipped. Reads the source to its
 * end, so that a digest of it covers all bytes. The end blocks may be missing, as in layers that umoci
 * writes.
 * @throws `invalid_argument` if it is not a tar archive, is truncated or contains something unsupported
 */
export async function readTar(
  source: AsyncIterable<Uint8Array>,
  visit: (entry: TarEntry) => Promise<void>,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    await readEntries(new ArchiveBytes(iterator), visit);
    for (let rest = await iterator.next(); rest.done !== true; rest = await iterator.next());
  } finally {
    await iterator.return?.();
  }
}

async function readEntries(bytes: ArchiveBytes, visit: (entry: TarEntry) => Promise<void>): Promise<void> {
  const extensions = new Extensions();
  for (;;) {
    const block = bytes.arrived(BLOCK) ?? (await bytes.upTo(BLOCK));
    if (block.length === 0) return;
    if (block.length < BLOCK) throw badArchive('it ends within a header');
    const raw = parseHeader(block);
    if (raw === null) return;
    if (Extensions.isExtension(raw)) {
      await extensions.read(raw, bytes);
      continue;
    }
    const header = extensions.apply(raw);
    const content = new Content(bytes, header);
    await visit(entryOf(header, content));
    await content.skip(padding(header.size));
  }
}
