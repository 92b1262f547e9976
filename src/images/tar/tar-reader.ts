/**
 * Reads a tar archive entry by entry, in order, with bounded memory. The libraries decode names as UTF-8,
 * which loses other names, reject what layers contain (whiteouts that are hard links, times before 1970, no
 * end blocks), or both.
 */
import { MAX_TAR_META_BYTES } from '../../shared/fs/tar-limits.ts';
import { readSparseMap, type SparseMap } from './sparse-map.ts';
import { ArchiveBytes, Content, type EntryContent, SparseContent } from './tar-content.ts';
import {
  BLOCK,
  badArchive,
  parseHeader,
  parsePax,
  printable,
  type TarHeader,
  unsupportedType,
  withPax,
} from './tar-header.ts';

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
  /** Of the content, with the holes of a sparse file. */
  size: number;
  /** What is not read is skipped. Holes are zeros. */
  content: EntryContent;
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
    if (type === 'g') {
      const records = parsePax(body);
      for (const keyword of records.keys())
        if (keyword.startsWith('GNU.sparse.')) throw badArchive('it says of all files that they are sparse');
      this.#global = new Map([...this.#global, ...records]);
    } else if (type === 'L' || type === 'K') {
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

function entryOf(header: TarHeader, data: Content, map: SparseMap | null): TarEntry {
  const kind = map === null ? KINDS[header.type] : 'file';
  if (kind === undefined) throw unsupportedType(header.path, header.type);
  return {
    kind,
    path: pathInside(header.path),
    link: kind === 'symlink' || kind === 'hardlink' ? header.link : '',
    mode: header.mode & 0o7777,
    uid: idOf(header.uid),
    gid: idOf(header.gid),
    mtime: Math.floor(header.mtime),
    size: map === null ? header.size : map.size,
    content: map === null ? data : new SparseContent(data, map),
  };
}

/**
 * Calls `visit` for each entry in order; content that it does not read is skipped. Reads the source to its
 * end, so that a digest of it covers all bytes. The end blocks may be missing, as in layers that umoci
 * writes.
 * @param onHoles gets the size of the holes of each sparse file, which the limit of the source does not see; absent:
 *   there must be none
 * @throws `invalid_argument` if it is not a tar archive, is truncated or contains something unsupported
 */
export async function readTar(
  source: AsyncIterable<Uint8Array>,
  visit: (entry: TarEntry) => Promise<void>,
  onHoles: ((bytes: number) => void) | null = null,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    await readEntries(new ArchiveBytes(iterator), visit, onHoles);
    for (let rest = await iterator.next(); rest.done !== true; rest = await iterator.next());
  } finally {
    await iterator.return?.();
  }
}

async function readEntries(
  bytes: ArchiveBytes,
  visit: (entry: TarEntry) => Promise<void>,
  onHoles: ((bytes: number) => void) | null,
): Promise<void> {
  const extensions = new Extensions();
  const ended = () => badArchive('it ends within a header');
  const mapBlock = async () => {
    const block = await bytes.upTo(BLOCK);
    if (block.length < BLOCK) throw ended();
    return block;
  };
  for (;;) {
    const block = bytes.arrived(BLOCK) ?? (await bytes.upTo(BLOCK));
    if (block.length === 0) return;
    if (block.length < BLOCK) throw ended();
    const raw = parseHeader(block);
    if (raw === null) return;
    if (Extensions.isExtension(raw)) {
      await extensions.read(raw, bytes);
      continue;
    }
    const header = extensions.apply(raw);
    const map = await readSparseMap(header, block, mapBlock);
    if (map !== null) {
      if (onHoles === null) throw badArchive(`it contains a sparse file, ${printable(header.path)}`);
      onHoles(map.size - map.stored);
    }
    const stored = map === null ? header.size : map.stored;
    const data = new Content(bytes, header, stored);
    await visit(entryOf(header, data, map));
    await data.skip(padding(stored));
  }
}
