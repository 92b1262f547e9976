/** Reads a tar archive entry by entry, in order, with bounded memory. */
import { Parser, type ReadEntry } from 'tar';
import { SandboxError } from '../shared/errors.ts';
import { describeSkipped, MAX_TAR_META_BYTES, unsupportedPaxHeader } from '../shared/fs/tar-limits.ts';

/** An entry of the archive. */
export interface TarEntry {
  kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device';
  /** Relative to the archive's root, without `.` and empty parts; empty for the root itself. */
  path: string;
  /** As written in the archive; empty for all but links. */
  link: string;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  size: number;
  /** Must be read to its end, or not at all. */
  content: AsyncIterable<Uint8Array>;
}

const KINDS: Partial<Record<ReadEntry['type'], TarEntry['kind']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  SymbolicLink: 'symlink',
  Link: 'hardlink',
  CharacterDevice: 'device',
  BlockDevice: 'device',
  FIFO: 'device',
};
/** Linux ids have 32 bits; all ones means "no id". */
const MAX_ID = 4_294_967_294;

function bad(why: string, cause?: unknown): SandboxError {
  return new SandboxError('invalid_argument', `The archive cannot be used: ${why}.`, {
    hint: 'Create it again, e.g. with `tar -c --numeric-owner -C ROOT .` or `docker save`.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * Normalizes an archive path to one relative to the root; ignores a leading slash, as every tar does.
 * @throws `invalid_argument` for a path that leads outside the root
 */
export function pathInside(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw bad(`${JSON.stringify(path.slice(0, 200))} points outside of it`);
  return parts.join('/');
}

function idOf(id: number | undefined): number {
  if (id === undefined) return 0;
  if (!Number.isSafeInteger(id) || id < 0 || id > MAX_ID)
    throw bad(`an entry has the invalid owner id ${id}`);
  return id;
}

function entryOf(entry: ReadEntry): TarEntry {
  const kind = KINDS[entry.type];
  if (kind === undefined) {
    throw bad(`${JSON.stringify(entry.path.slice(0, 200))} has the unsupported type ${entry.type}`);
  }
  return {
    kind,
    path: pathInside(entry.path),
    link: entry.linkpath ?? '',
    mode: (entry.mode ?? 0) & 0o7777,
    uid: idOf(entry.uid),
    gid: idOf(entry.gid),
    mtime: Math.floor((entry.mtime?.getTime() ?? 0) / 1_000),
    size: kind === 'file' ? entry.size : 0,
    content: entry,
  };
}

/**
 * Calls `visit` for each entry in order; content that it does not read is skipped.
 * @throws `invalid_argument` if it is not a tar archive, is truncated or contains something unsupported
 */
export async function readTar(
  source: AsyncIterable<Buffer>,
  visit: (entry: TarEntry) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  // One function wakes whoever waits for the parser; racing a promise per chunk would leak memory.
  let wake = (): void => {};
  const failWith = (error: unknown) => {
    failures.push(error);
    wake();
  };
  let visits: Promise<void> = Promise.resolve();
  let over = false;
  const parser = new Parser({
    strict: true,
    maxMetaEntrySize: MAX_TAR_META_BYTES,
    onReadEntry: (entry) => {
      visits = visits.then(async () => {
        if (failures.length > 0) return;
        try {
          await visit(entryOf(entry));
          entry.resume();
        } catch (error) {
          failWith(error);
        }
      });
    },
  });
  parser.on('error', (error: unknown) =>
    failWith(bad(error instanceof Error ? error.message : 'it is not a tar archive', error)),
  );
  parser.on('ignoredEntry', (entry: ReadEntry) =>
    failWith(
      bad(
        entry.meta
          ? `it contains ${describeSkipped(entry)}`
          : `${JSON.stringify(entry.path.slice(0, 200))} has the unsupported type ${entry.type}`,
      ),
    ),
  );
  parser.on('meta', (meta: string) => {
    const misread = unsupportedPaxHeader(meta);
    if (misread === 'a sparse file') failWith(bad(`it contains ${misread}`));
  });
  parser.on('drain', () => wake());
  parser.on('end', () => {
    over = true;
    wake();
  });
  for await (const chunk of source) {
    if (!parser.write(chunk) && failures.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    if (failures.length > 0) break;
  }
  if (failures.length === 0) {
    parser.end();
    if (!over && failures.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    await visits;
  }
  if (failures.length > 0) throw failures[0];
}
