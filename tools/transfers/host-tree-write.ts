import { symlink } from 'node:fs/promises';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { contentChunks } from '../../src/shared/async/content-chunks.ts';
import { onAbort } from '../../src/shared/async/on-abort.ts';
import { systemErrorCode, throwIfCancelled } from '../../src/shared/errors.ts';
import { staysInside } from '../../src/shared/fs/link-target.ts';
import { sha256 } from '../../src/shared/fs/sha256.ts';
import { ExecutedOnHost } from './executes-on-host.ts';
import { SMALL_BYTES } from './file-thread.ts';
import { HostStage } from './host-stage.ts';
import { type Overwrite, occupied, requireReplaceable } from './host-tree-place.ts';
import type { LocalEntry } from './local-path.ts';
import { SkippedEntries } from './skipped-entries.ts';
import { SmallFileWriter } from './small-file-writer.ts';
import { TreeEntryChecker } from './tree-entry-check.ts';
import { Background, FileWriter } from './write-behind.ts';

/** A sandbox cannot make files here setuid, setgid, sticky or writable for others. */
const GRANTABLE_BITS = 0o755;
/** Replaces every invalid UTF-8 byte, so different names in the sandbox can arrive as the same name. */
const UNDECODABLE = '\uFFFD';
/** How many files are written, and directories finished, concurrently; a batch of each file is in memory. */
const FILES_AT_ONCE = 8;
/** The number of files from which a thread for small ones is worth its start-up time. */
const MANY_FILES = 64;
const NOTHING = Buffer.alloc(0);

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
  small: SmallFileWriter;
  /** The content being read, so that an abort can end it. */
  content: TreeEntry['content'];
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
    small: new SmallFileWriter(),
    content: null,
    expectedBytes,
    report,
  };
  // Destroyed without an error, which might have no listener yet: the reader sees a premature end.
  const release = onAbort(signal, () => {
    if (!Buffer.isBuffer(writing.content)) writing.content?.destroy();
  });
  try {
    await note(stage.path);
    await stageEntries(writing, entries, { target, overwrite, signal });
    await writing.background.done();
    await writing.small.done();
    throwIfCancelled(signal);
    // Once all are filled: a change in a directory changes its time.
    for (const { path, mode, mtimeMs } of writing.directories)
      await writing.background.add(() => stage.finishDirectory(path, mode, mtimeMs));
    await writing.background.done();
    await stage.publish(overwrite).catch((error) => refuseReplacement(target, error));
  } catch (error) {
    // Pending writes would otherwise create files after the removal.
    await writing.background.settled();
    await writing.small.settled();
    await stage.discard();
    throwIfCancelled(signal);
    throw error;
  } finally {
    release();
    await writing.small.close();
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
      for await (const _ of contentChunks(entry.content ?? NOTHING));
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
  const { path, content, mtimeMs } = entry;
  const isSmall = Buffer.isBuffer(content) && content.length <= SMALL_BYTES && path !== '';
  if (isSmall && writing.files >= MANY_FILES) {
    writing.bytes += content.length;
    writing.report(0, content.length);
    await writing.small.add({ path: writing.stage.at(path), mode, mtimeMs, content });
  } else await writeInPieces(writing, entry, mode);
  writing.files += 1;
  writing.report(1, 0);
}

async function writeInPieces(writing: Writing, entry: TreeEntry, mode: number): Promise<void> {
  const hash = entry.path === '' ? sha256(writing.expectedBytes) : null;
  const writer = new FileWriter(() => writing.stage.createFile(entry.path, mode));
  try {
    for await (const bytes of contentChunks(entry.content ?? NOTHING)) {
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
}

/** The target has changed since it was checked. */
function refuseReplacement(target: LocalEntry, error: unknown): never {
  const code = systemErrorCode(error);
  if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EISDIR') throw occupied(target, 'directory');
  if (code === 'ENOTDIR') throw occupied(target, 'file');
  throw error;
}
