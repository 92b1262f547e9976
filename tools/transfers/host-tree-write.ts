import { symlink } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { onAbort } from '../../src/shared/async/on-abort.ts';
import { systemErrorCode, throwIfCancelled } from '../../src/shared/errors.ts';
import { staysInside } from '../../src/shared/fs/link-target.ts';
import { sha256 } from '../../src/shared/fs/sha256.ts';
import { ExecutedOnHost } from './executes-on-host.ts';
import { HostStage } from './host-stage.ts';
import { type Overwrite, occupied, requireReplaceable } from './host-tree-place.ts';
import type { LocalEntry } from './local-path.ts';
import { SkippedEntries } from './skipped-entries.ts';
import { TreeEntryChecker } from './tree-entry-check.ts';
import { Background, FileWriter } from './write-behind.ts';

/** A sandbox cannot make files here setuid, setgid, sticky or writable for others. */
const GRANTABLE_BITS = 0o755;
/** Replaces every invalid UTF-8 byte, so different names in the sandbox can arrive as the same name. */
const UNDECODABLE = '\uFFFD';
/** How many small files are written concurrently; a batch of each is in memory. */
const FILES_AT_ONCE = 8;

export interface WrittenTree {
  files: number;
  bytes: number;
  /** Of a single file; null for a directory. */
  sha256: string | null;
  /** Links that point outside the tree, and names that are not UTF-8. */
  skipped: SkippedEntries;
  executed: ExecutedOnHost;
}

interface Writing extends WrittenTree {
  stage: HostStage;
  /** Set last: a read-only directory could not be filled. */
  directories: { path: string; mode: number; mtimeMs: number | undefined }[];
  background: Background;
  /** The content being read, so that an abort can end it. */
  content: Readable | null;
  /** The expected size of a single file in bytes. */
  expectedBytes: number;
  /** Called with each file and chunk of bytes. */
  report(files: number, bytes: number): void;
}

interface WriteOptions {
  overwrite?: Overwrite;
  /** Shared with the reader of the tree, which adds what it leaves out. */
  skipped?: SkippedEntries;
  /** Called with each file and chunk of bytes. */
  report?: (files: number, bytes: number) => void;
  /** Called with the path of the stage before it is created. */
  note?: (path: string) => Promise<void>;
  /** The expected size of a single file in bytes. */
  expectedBytes?: number;
  /** Where the target is in the folder that somebody may work in: decides what programs of the host may run. */
  pathInProject?: string;
}

/**
 * Writes entries to `target`. Everything is staged next to it and moved into place at the end: a new target
 * appears whole or not at all, and an existing directory is merged into once everything has arrived. What
 * cannot be written faithfully is skipped and reported.
 *
 * @throws `conflict` if the target cannot be replaced
 */
export async function writeHostTree(
  target: LocalEntry,
  entries: AsyncIterable<TreeEntry>,
  signal: AbortSignal,
  options: WriteOptions = {},
): Promise<WrittenTree> {
  const {
    overwrite = 'merge',
    report = () => {},
    note = () => Promise.resolve(),
    expectedBytes = 0,
    pathInProject = target.name,
  } = options;
  const stage = new HostStage(target);
  const writing: Writing = {
    files: 0,
    bytes: 0,
    sha256: null,
    skipped: options.skipped ?? new SkippedEntries(),
    executed: new ExecutedOnHost(pathInProject),
    stage,
    directories: [],
    background: new Background(FILES_AT_ONCE),
    content: null,
    expectedBytes,
    report,
  };
  // Destroyed without an error, which might have no listener yet: the reader sees a premature end.
  const release = onAbort(signal, () => writing.content?.destroy());
  try {
    await note(stage.path);
    await stageEntries(writing, entries, { target, overwrite, signal });
    await writing.background.done();
    throwIfCancelled(signal);
    // Children first: a change in a directory changes its time.
    for (const { path, mode, mtimeMs } of writing.directories.reverse())
      await stage.finishDirectory(path, mode, mtimeMs);
    await stage.publish(overwrite).catch((error) => refuseReplacement(target, error));
  } catch (error) {
    // Pending writes would otherwise create files after the removal.
    await writing.background.settled();
    await stage.discard();
    throwIfCancelled(signal);
    throw error;
  } finally {
    release();
    await stage.close();
  }
  const { files, bytes, sha256, skipped, executed } = writing;
  return { files, bytes, sha256, skipped, executed };
}

async function stageEntries(
  writing: Writing,
  entries: AsyncIterable<TreeEntry>,
  { target, overwrite, signal }: { target: LocalEntry; overwrite: Overwrite; signal: AbortSignal },
): Promise<void> {
  const checker = new TreeEntryChecker();
  for await (const entry of entries) {
    throwIfCancelled(signal);
    writing.content = entry.content;
    if (entry.path.includes(UNDECODABLE)) {
      writing.skipped.add(entry.path, 'its name is not UTF-8');
      // The next entry is requested once this one's content has been read.
      for await (const _ of entry.content ?? []);
      continue;
    }
    checker.check(entry);
    // Checked early, so that a long transfer does not run in vain.
    if (entry.path === '') await requireReplaceable(target, entry.type, overwrite);
    await writeEntry(writing, entry);
    if (entry.type !== 'directory') writing.executed.add(entry.path, entry.path || target.name);
  }
}

async function writeEntry(writing: Writing, entry: TreeEntry): Promise<void> {
  const { stage } = writing;
  const mode = entry.mode & GRANTABLE_BITS;
  if (entry.type === 'directory') {
    await stage.makeDirectory(entry.path);
    writing.directories.push({ path: entry.path, mode: mode | 0o700, mtimeMs: entry.mtimeMs });
  } else if (entry.type === 'file') {
    await writeFile(writing, entry, mode | 0o600);
  } else if (entry.linkTarget === null || !staysInside(entry.path, entry.linkTarget)) {
    writing.skipped.add(entry.path, 'a link that leads out of the tree');
  } else if (entry.linkTarget.includes(UNDECODABLE)) {
    writing.skipped.add(entry.path, 'a link whose target is not UTF-8');
  } else {
    await symlink(entry.linkTarget, stage.at(entry.path));
  }
}

/** A file that fits one batch is written while the next ones arrive. */
async function writeFile(writing: Writing, entry: TreeEntry, mode: number): Promise<void> {
  const hash = entry.path === '' ? sha256(writing.expectedBytes) : null;
  const writer = new FileWriter(() => writing.stage.createFile(entry.path, mode));
  try {
    for await (const chunk of entry.content ?? []) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
      await hash?.update(bytes);
      writing.bytes += bytes.length;
      writing.report(0, bytes.length);
      await writer.add(bytes);
    }
    writing.sha256 = (await hash?.digest()) ?? null;
  } catch (error) {
    await writer.close();
    throw error;
  } finally {
    await hash?.close();
  }
  if (writer.idle) await writing.background.add(() => writer.finish(entry.mtimeMs));
  else await writer.finish(entry.mtimeMs);
  writing.files += 1;
  writing.report(1, 0);
}

/** The target has changed since it was checked. */
function refuseReplacement(target: LocalEntry, error: unknown): never {
  const code = systemErrorCode(error);
  if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EISDIR') throw occupied(target, 'directory');
  if (code === 'ENOTDIR') throw occupied(target, 'file');
  throw error;
}
