/**
 * Files of a sandbox: transferred by the platform's calls, placed and inspected by scripts that run as its
 * user.
 */
import { posix } from 'node:path';
import type { Session } from '@vercel/sandbox';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { partialWriteError } from '../../../shared/partial-write-error.ts';
import type { FileExplorer, FileStat, Files, OnSkipped, TreeEntry, WriteFile } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { MAKE_DIRECTORY, MISSING, PLACE_FILES, READ, REMOVE_STAGED, refusal } from '../guest/file-scripts.ts';
import { runScript, type ScriptResult } from '../guest/run-script.ts';
import { stageName } from '../guest/stage-name.ts';
import { inSession } from '../sandbox/get-sandbox.ts';
import { statIn, unreadable } from './describe.ts';
import { VercelExplorer } from './explorer.ts';
import { readTree } from './read-tree.ts';
import { writeTree } from './write-tree.ts';

/**
 * Limits for one call to the platform: the bytes are packed in memory, and placing the files has to fit into
 * its time.
 */
const MAX_BATCH_BYTES = 16 * 1_048_576;
const MAX_BATCH_FILES = 100;
/** Below the 5 minutes after which the platform ends a request. */
const PLACE_MS = 290_000;
const CLEAN_MS = 10_000;

export class VercelFiles implements Files {
  readonly #context: VercelContext;

  constructor(context: VercelContext) {
    this.#context = context;
  }

  async mkDir(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<{ path: string }> {
    return this.#in(sandboxId, 'create a directory', signal, async (session) => {
      const absolute = absolutePath(path, cwd, session.cwd);
      const result = await runScript(session, MAKE_DIRECTORY, [absolute], { signal });
      const refused = refusal(result, absolute, 'create');
      if (refused !== null) throw refused;
      return { path: absolute };
    });
  }

  async stat(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<FileStat | null> {
    return this.#in(sandboxId, 'stat a file', signal, (session) =>
      statIn(session, absolutePath(path, cwd, session.cwd), signal),
    );
  }

  async read(
    sandboxId: string,
    path: string,
    cwd: string | null,
    range: { offset: number; limit: number },
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number; data: Buffer } | null> {
    return this.#in(sandboxId, 'read a file', signal, async (session) => {
      const absolute = absolutePath(path, cwd, session.cwd);
      const args = [absolute, String(range.offset), String(range.limit)];
      const result = await runScript(session, READ, args, { signal });
      if (result.exitCode === MISSING) return null;
      const refused = refusal(result, absolute, 'read');
      if (refused !== null) throw refused;
      const [size = '', ...rest] = result.stdout.split('\n');
      const data = Buffer.from(rest.join(''), 'base64');
      const sizeBytes = Number(size);
      if (!Number.isSafeInteger(sizeBytes) || data.length > range.limit) throw unreadable(absolute);
      return { path: absolute, sizeBytes, data };
    });
  }

  async write(
    sandboxId: string,
    files: WriteFile[],
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number }[]> {
    const written: { path: string; sizeBytes: number }[] = [];
    for (const batch of batches(files)) {
      try {
        await this.#in(sandboxId, 'write files', signal, (session) =>
          this.#writeBatch(session, batch, cwd, written, signal),
        );
      } catch (error) {
        throw partialWriteError(error, written);
      }
    }
    return written;
  }

  readTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
    onSkipped: OnSkipped = () => {},
  ): AsyncIterable<TreeEntry> {
    return readTree(this.#context, sandboxId, path, cwd, signal, onSkipped);
  }

  async writeTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    entries: AsyncIterable<TreeEntry>,
    signal: AbortSignal,
  ): Promise<{ path: string; files: number; bytes: number }> {
    return writeTree(this.#context, sandboxId, path, cwd, entries, signal);
  }

  async explore(sandboxId: string, signal: AbortSignal): Promise<FileExplorer> {
    return new VercelExplorer((work) => this.#in(sandboxId, 'search files', signal, work), signal);
  }

  #in<T>(
    sandboxId: string,
    doing: string,
    signal: AbortSignal,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    return inSession(this.#context, sandboxId, doing, signal, work);
  }

  /** Adds to `written` as it proceeds, also if it fails later. */
  async #writeBatch(
    session: Session,
    files: WriteFile[],
    cwd: string | null,
    written: { path: string; sizeBytes: number }[],
    signal: AbortSignal,
  ): Promise<void> {
    const stage = stageName();
    const name = posix.basename(stage);
    const paths = files.map(({ path }) => absolutePath(path, cwd, session.cwd));
    const staged = files.map(({ content }, index) => ({ path: `${stage}-${index}`, content }));
    let result: ScriptResult;
    try {
      await session.writeFiles(staged, { signal });
      const places = files.flatMap(({ mode, content }, index) => [
        paths[index] ?? '',
        mode === null ? '' : mode.toString(8),
        String(content.length),
      ]);
      const limits = { timeoutMs: PLACE_MS, silentMs: this.#context.tuning.placeSilentMs };
      result = await runScript(session, PLACE_FILES, [stage, name, ...places], { signal, ...limits });
    } catch (error) {
      await this.#removeStaged(session, [stage, name, ...paths]);
      throw error;
    }
    if (result.exitCode !== 0) await this.#removeStaged(session, [stage, name, ...paths]);
    const placed = result.stdout.split('\n').filter((line) => line === 'placed').length;
    for (const [index, path] of paths.slice(0, placed).entries()) {
      written.push({ path, sizeBytes: files[index]?.content.length ?? 0 });
    }
    const refused = refusal(result, paths[placed] ?? '', 'write');
    if (refused !== null) throw refused;
  }

  /** Never rejects. */
  async #removeStaged(session: Session, args: string[]): Promise<void> {
    try {
      await runScript(session, REMOVE_STAGED, args, { signal: AbortSignal.timeout(CLEAN_MS) });
    } catch (error) {
      this.#context.log.debug({ err: error }, 'cannot remove staged files');
    }
  }
}

/** Groups files that one call transfers together; a larger one goes alone. */
function* batches(files: WriteFile[]): Generator<WriteFile[]> {
  let batch: WriteFile[] = [];
  let bytes = 0;
  for (const file of files) {
    const isFull = batch.length >= MAX_BATCH_FILES || bytes + file.content.length > MAX_BATCH_BYTES;
    if (batch.length > 0 && isFull) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.content.length;
  }
  if (batch.length > 0) yield batch;
}
