/** Files of a sandbox: transferred by the platform's calls, placed and inspected by scripts that run as its user. */
import type { Session } from '@vercel/sandbox';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { partialWriteError } from '../../../shared/partial-write-error.ts';
import type { FileStat, Files, OnSkipped, TreeEntry, WriteFile } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { MAKE_DIRECTORY, MISSING, PLACE_FILES, READ, REMOVE, refusal } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';
import { inSession } from '../sandbox/get-sandbox.ts';
import { statIn, unreadable } from './describe.ts';
import { readTree } from './read-tree.ts';
import { stageName } from './stage-name.ts';
import { writeTree } from './write-tree.ts';

/** Limit for one call to the platform, in bytes; it is packed in memory. */
const MAX_BATCH_BYTES = 16 * 1_048_576;
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
    const absolute = absolutePath(path, cwd);
    await this.#in(sandboxId, 'create a directory', signal, async (session) => {
      const result = await runScript(session, MAKE_DIRECTORY, [absolute], { signal });
      const refused = refusal(result, absolute, 'create');
      if (refused !== null) throw refused;
    });
    return { path: absolute };
  }

  async stat(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<FileStat | null> {
    const absolute = absolutePath(path, cwd);
    return this.#in(sandboxId, 'stat a file', signal, (session) => statIn(session, absolute, signal));
  }

  async read(
    sandboxId: string,
    path: string,
    cwd: string | null,
    range: { offset: number; limit: number },
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number; data: Buffer } | null> {
    const absolute = absolutePath(path, cwd);
    return this.#in(sandboxId, 'read a file', signal, async (session) => {
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
    return readTree(this.#context, sandboxId, absolutePath(path, cwd), signal, onSkipped);
  }

  async writeTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    entries: AsyncIterable<TreeEntry>,
    signal: AbortSignal,
  ): Promise<{ path: string; files: number; bytes: number }> {
    return writeTree(this.#context, sandboxId, absolutePath(path, cwd), entries, signal);
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
    const paths = files.map(({ path }) => absolutePath(path, cwd));
    const staged = files.map(({ content }, index) => ({ path: `${stage}-${index}`, content }));
    let result: Awaited<ReturnType<typeof runScript>>;
    try {
      await session.writeFiles(staged, { signal });
      const places = files.flatMap(({ mode, content }, index) => [
        paths[index] ?? '',
        mode === null ? '' : mode.toString(8),
        String(content.length),
      ]);
      result = await runScript(session, PLACE_FILES, [stage, ...places], { signal });
    } catch (error) {
      await this.#removeStaged(session, staged);
      throw error;
    }
    const placed = result.stdout.split('\n').filter((line) => line === 'placed').length;
    for (const [index, path] of paths.slice(0, placed).entries()) {
      written.push({ path, sizeBytes: files[index]?.content.length ?? 0 });
    }
    const refused = refusal(result, paths[placed] ?? '', 'write');
    if (refused !== null) throw refused;
  }

  /** Never rejects. */
  async #removeStaged(session: Session, staged: { path: string }[]): Promise<void> {
    try {
      const paths = staged.map(({ path }) => path);
      await runScript(session, REMOVE, paths, { signal: AbortSignal.timeout(CLEAN_MS) });
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
    if (batch.length > 0 && bytes + file.content.length > MAX_BATCH_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.content.length;
  }
  if (batch.length > 0) yield batch;
}
