/** Writes a tree of files into the sandbox: packed as it is read, transferred in parts, placed as a whole. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Session } from '@vercel/sandbox';
import { type Headers, type Pack, pack } from 'tar-stream';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import type { TreeEntry } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { PLACE_TREE, REMOVE, refusal } from '../guest/file-scripts.ts';
import { runHelper } from '../guest/run-script.ts';
import { inSession } from '../sandbox/get-sandbox.ts';
import { stageName } from './stage-name.ts';

/** Limit for one call to the platform, in bytes; it is packed in memory. */
const PART_BYTES = 8 * 1_048_576;
/** An archive states a file's size before its content: larger files are spooled to disk until their size is known. */
const IN_MEMORY_BYTES = 1_048_576;
const CLEAN_MS = 10_000;
const PLACE_MS = 290_000;

interface Counted {
  files: number;
  bytes: number;
}

/** @throws SandboxError; what `entries` throws. An incomplete tree is removed. */
export async function writeTree(
  context: VercelContext,
  sandboxId: string,
  path: string,
  entries: AsyncIterable<TreeEntry>,
  signal: AbortSignal,
): Promise<Counted & { path: string }> {
  const stage = stageName();
  let parts = 0;
  // Outside the session's error mapping: what the source of the entries throws is the caller's.
  let sourceFailure: { error: unknown } | null = null;
  const own = async function* () {
    try {
      yield* entries;
    } catch (error) {
      sourceFailure = { error };
      throw error;
    }
  };
  try {
    return await inSession(context, sandboxId, 'write a tree of files', signal, async (session) => {
      try {
        const counted: Counted = { files: 0, bytes: 0 };
        for await (const part of packed(context, own(), counted, signal)) {
          await session.writeFiles([{ path: `${stage}-${parts++}`, content: part }], { signal });
        }
        const args = [path, stage, String(parts)];
        const result = await runHelper(session, PLACE_TREE, args, { signal, timeoutMs: PLACE_MS });
        const refused = refusal(result, path, 'write');
        if (refused !== null) throw refused;
        return { path, ...counted };
      } catch (error) {
        await removeParts(context, session, stage, parts);
        throw error;
      }
    });
  } catch (error) {
    throw sourceFailure === null ? error : thrownBy(sourceFailure);
  }
}

function thrownBy({ error }: { error: unknown }): unknown {
  return error;
}

/** Never rejects. */
async function removeParts(
  context: VercelContext,
  session: Session,
  stage: string,
  parts: number,
): Promise<void> {
  const paths = Array.from({ length: parts }, (_, index) => `${stage}-${index}`);
  if (paths.length === 0) return;
  try {
    await runHelper(session, REMOVE, paths, { signal: AbortSignal.timeout(CLEAN_MS) });
  } catch (error) {
    context.log.debug({ err: error }, 'parts of a tree could not be removed');
  }
}

/** The archive of these entries below `root`, in parts. */
async function* packed(
  context: VercelContext,
  entries: AsyncIterable<TreeEntry>,
  counted: Counted,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const archive = pack();
  const filling = fill(context, archive, entries, counted, signal).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  let waiting: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of archive) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
      waiting.push(bytes);
      length += bytes.length;
      if (length < PART_BYTES) continue;
      yield Buffer.concat(waiting);
      waiting = [];
      length = 0;
    }
    if (length > 0) yield Buffer.concat(waiting);
  } finally {
    archive.destroy();
    await filling;
  }
}

async function fill(
  context: VercelContext,
  archive: Pack,
  entries: AsyncIterable<TreeEntry>,
  counted: Counted,
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of entries) {
    throwIfCancelled(signal);
    const header: Headers = { name: entry.path === '' ? 'root' : `root/${entry.path}`, mode: entry.mode };
    if (entry.type === 'directory') await put(archive, { ...header, type: 'directory' });
    else if (entry.type === 'symlink') {
      await put(archive, { ...header, type: 'symlink', linkname: entry.linkTarget ?? '' });
    } else {
      counted.bytes += await putFile(context, archive, header, entry, signal);
      counted.files += 1;
    }
  }
}

function put(archive: Pack, header: Headers, content: Buffer = Buffer.alloc(0)): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry(header, content, (error) => (error ? reject(error) : resolve()));
  });
}

async function putFile(
  context: VercelContext,
  archive: Pack,
  header: Headers,
  entry: TreeEntry,
  signal: AbortSignal,
): Promise<number> {
  const { content } = entry;
  if (content === null)
    throw new SandboxError('internal', `The file "${entry.path}" of a tree has no content.`);
  // A source that has stalled is abandoned.
  addAbortSignal(signal, content);
  const start: Buffer[] = [];
  let length = 0;
  const source = content[Symbol.asyncIterator]();
  for (;;) {
    const next = await source.next();
    if (next.done) {
      await put(archive, { ...header, type: 'file', size: length }, Buffer.concat(start));
      return length;
    }
    const bytes = Buffer.isBuffer(next.value) ? next.value : Buffer.from(String(next.value));
    start.push(bytes);
    length += bytes.length;
    if (length > IN_MEMORY_BYTES) break;
  }
  return putSpooled(context, archive, header, start, source, signal);
}

/** A large file: its size is known once it is spooled to disk. */
async function putSpooled(
  context: VercelContext,
  archive: Pack,
  header: Headers,
  start: Buffer[],
  rest: AsyncIterator<unknown>,
  signal: AbortSignal,
): Promise<number> {
  await mkdir(context.layout.uploads, { recursive: true, mode: 0o700 });
  const path = temporaryName(join(context.layout.uploads, 'file'));
  let size = 0;
  try {
    const all = async function* () {
      for (const bytes of start) {
        size += bytes.length;
        yield bytes;
      }
      for (let next = await rest.next(); !next.done; next = await rest.next()) {
        const bytes = Buffer.isBuffer(next.value) ? next.value : Buffer.from(String(next.value));
        size += bytes.length;
        yield bytes;
      }
    };
    await pipeline(all(), createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal });
    await pipeline(createReadStream(path), archive.entry({ ...header, type: 'file', size }), { signal });
    return size;
  } finally {
    await rm(path, { force: true });
  }
}
