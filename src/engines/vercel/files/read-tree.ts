/** Reads a file or a tree from the sandbox: a file by the platform's call, a directory as one archive. */

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Session } from '@vercel/sandbox';
import type { ReadEntry } from 'tar';
import { SandboxError } from '../../../shared/errors.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { tarEntries } from '../../../shared/fs/tar-entries.ts';
import { trimTrailingSlashes } from '../../../shared/text/text.ts';
import type { OnSkipped, TreeEntry } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { MISSING, PACK, REMOVE, refusal } from '../guest/file-scripts.ts';
import { runScript } from '../guest/run-script.ts';
import { stageName } from '../guest/stage-name.ts';
import { brokenConnection } from '../http/parse-failure.ts';
import { explain, inSession, runningSession } from '../sandbox/get-sandbox.ts';
import { describeIn } from './describe.ts';

const PERMISSION_BITS = 0o7777;
const PACK_MS = 290_000;
const CLEAN_MS = 10_000;

const TYPES: Readonly<Record<string, TreeEntry['type']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Directory: 'directory',
  SymbolicLink: 'symlink',
};

/** What PACK leaves out, by find's letter for it. */
const SKIPPED_KINDS: Readonly<Record<string, string>> = { p: 'fifo', s: 'socket', b: 'device', c: 'device' };

/** @throws SandboxError `not_found` if nothing is there, or the error of the transfer */
export async function* readTree(
  context: VercelContext,
  sandboxId: string,
  name: string,
  cwd: string | null,
  signal: AbortSignal,
  onSkipped: OnSkipped,
): AsyncGenerator<TreeEntry> {
  const doing = 'read a file tree';
  const session = await runningSession(context, sandboxId, doing, signal);
  const path = absolutePath(name, cwd, session.cwd);
  const found = await inSession(context, sandboxId, doing, signal, () => describeIn(session, path, signal));
  if (found === null) throw missing(path);
  const translated = (error: unknown) => explain(context, sandboxId, doing, signal, brokenConnection(error));
  try {
    if (found.stat.type === 'file') yield await fileEntry(session, found, translated, signal);
    else yield* directoryEntries({ context, session, path, onSkipped }, translated, signal);
  } catch (error) {
    throw await translated(error);
  }
}

function missing(path: string): SandboxError {
  const result = { exitCode: MISSING, stdout: '', stderr: '' };
  return (
    refusal(result, path, 'read') ?? new SandboxError('not_found', `"${path}" does not exist in the sandbox.`)
  );
}

type Described = NonNullable<Awaited<ReturnType<typeof describeIn>>>;
type Translate = (error: unknown) => Promise<SandboxError>;

/** The same bytes; errors of the stream become our own. */
function withTranslatedErrors(stream: Readable, translate: Translate): Readable {
  const pieces = async function* () {
    try {
      for await (const chunk of stream) yield chunk;
    } catch (error) {
      throw await translate(error);
    } finally {
      stream.destroy();
    }
  };
  return Readable.from(pieces(), { objectMode: false });
}

async function open(session: Session, path: string, signal: AbortSignal): Promise<Readable> {
  const stream = await session.readFile({ path }, { signal });
  if (stream === null) throw missing(path);
  return Readable.from(stream);
}

async function fileEntry(
  session: Session,
  { stat: { path, mode, sizeBytes }, mtimeMs, sha256 }: Described,
  translate: Translate,
  signal: AbortSignal,
): Promise<TreeEntry> {
  const whole = checked(sizeBytes, sha256 ?? '', path, await open(session, path, signal));
  return {
    path: '',
    type: 'file',
    mode,
    mtimeMs,
    linkTarget: null,
    content: withTranslatedErrors(whole, translate),
  };
}

/**
 * The same bytes, verified against the file's state just before. Data appended meanwhile is included;
 * anything else is not the file, whatever the response status was.
 */
function checked(sizeBytes: number, sha256: string, path: string, stream: Readable): Readable {
  const pieces = async function* () {
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of stream) {
      const bytes = Buffer.from(chunk);
      hash.update(bytes.subarray(0, Math.max(0, sizeBytes - length)));
      length += bytes.length;
      yield bytes;
    }
    if (length >= sizeBytes && hash.digest('hex') === sha256) return;
    throw new SandboxError('server', `The data that Vercel sent for "${path}" does not match the file.`, {
      hint: 'Call again; a file that is being written to can only be read once nothing writes to it.',
      details: { path, size_bytes: sizeBytes, received_bytes: length },
    });
  };
  return Readable.from(pieces(), { objectMode: false });
}

interface Packing {
  context: VercelContext;
  session: Session;
  path: string;
  onSkipped: OnSkipped;
}

async function* directoryEntries(
  { context, session, path, onSkipped }: Packing,
  translate: Translate,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  const archive = `${stageName()}.tar.gz`;
  try {
    const result = await runScript(session, PACK, [path, archive], { signal, timeoutMs: PACK_MS });
    const refused = refusal(result, path, 'read');
    if (refused !== null) throw refused;
    for (const line of result.stdout.split('\0').filter((text) => text !== '')) {
      onSkipped(line.slice(1), SKIPPED_KINDS[line.charAt(0)] ?? 'permission denied');
    }
    const packed = withTranslatedErrors(await open(session, archive, signal), translate);
    const unpacked = packed.pipe(createGunzip());
    // `pipe` does not propagate errors of its source.
    packed.on('error', (error) => unpacked.destroy(error));
    try {
      for await (const entry of tarEntries(unpacked, notATar)) {
        const treeEntry = toTreeEntry(entry);
        if (treeEntry === null) entry.resume();
        else yield treeEntry;
      }
    } finally {
      packed.destroy();
      unpacked.destroy();
    }
  } finally {
    await removeFiles(context, session, [archive]);
  }
}

function notATar(reason: string, cause: unknown): SandboxError {
  return new SandboxError('server', `The archive that Vercel sent cannot be read: ${reason}.`, { cause });
}

/** Null for what is not transferred: fifos, devices, and names that lead out of the tree. */
function toTreeEntry(entry: ReadEntry): TreeEntry | null {
  const path = trimTrailingSlashes(entry.path.replace(/^\.\/?/, ''));
  const known = TYPES[entry.type];
  if (known === undefined || path.startsWith('/') || path.split('/').includes('..')) return null;
  const isFile = known === 'file';
  if (!isFile) entry.resume();
  return {
    path,
    type: known,
    mode: (entry.mode ?? 0) & PERMISSION_BITS,
    mtimeMs: entry.mtime?.getTime(),
    linkTarget: known === 'symlink' ? (entry.linkpath ?? '') : null,
    content: isFile ? Readable.from(entry, { objectMode: false }) : null,
  };
}

/** Never rejects. */
export async function removeFiles(context: VercelContext, session: Session, paths: string[]): Promise<void> {
  try {
    await runScript(session, REMOVE, paths, { signal: AbortSignal.timeout(CLEAN_MS) });
  } catch (error) {
    context.log.debug({ err: error }, 'cannot remove staged files');
  }
}
