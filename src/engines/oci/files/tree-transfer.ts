/** Transfers file trees between the agent and a stream of entries, in constant memory. */

import { Readable } from 'node:stream';
import { contentChunks } from '../../../shared/async/content-chunks.ts';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import type { OnSkipped, TreeEntry } from '../../engine.ts';
import { type AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import {
  encodeFields,
  Fields,
  type FieldValue,
  FRAME,
  type Frame,
  MAX_DATA,
  TAG,
} from '../protocol/frames.ts';

const KINDS: Record<string, TreeEntry['type']> = { f: 'file', d: 'directory', l: 'symlink' };
const LETTERS: Record<TreeEntry['type'], string> = { file: 'f', directory: 'd', symlink: 'l' };
/** Of an entry that the agent leaves out. */
const SKIPPED = 's';
const PERMISSION_BITS = 0o7777;
/** The size up to which the content of a file is one buffer. */
const SMALL_BYTES = 65_536;
/** Chunks of a file that are buffered ahead of the reader. */
const PIECES_AHEAD = 8;
/**
 * How long the agent may take to remove the staged files of an aborted upload. Thousands of files can take
 * seconds on a busy machine; only an agent that hangs takes longer.
 */
const UNDO_MS = 30_000;

function parseEntry(fields: Fields, content: TreeEntry['content']): TreeEntry {
  const type = KINDS[fields.text(TAG.kind)];
  if (type === undefined)
    throw new SandboxError('server', 'The sandbox’s agent sent an entry of an unknown type.');
  return {
    path: fields.text(TAG.entryPath),
    type,
    mode: fields.number(TAG.statMode) & PERMISSION_BITS,
    mtimeMs: fields.optionalNumber(TAG.mtimeMs) ?? undefined,
    linkTarget: type === 'symlink' ? fields.text(TAG.link) : null,
    content,
  };
}

/**
 * Entries as they arrive. A stream of a file's content must be read to its end, or destroyed, before the next
 * entry is requested.
 * @param onSkipped receives what the agent leaves out
 * @param translate converts errors of the connection for the reader of a file's content
 */
export async function* receiveTree(
  connection: AgentConnection,
  onSkipped: OnSkipped,
  translate: (error: unknown) => unknown,
): AsyncGenerator<TreeEntry> {
  const expect = () => connection.expect(FRAME.ENTRY, FRAME.DATA, FRAME.END);
  let frame: Frame = await expect();
  while (frame.type !== FRAME.END) {
    if (frame.type !== FRAME.ENTRY)
      throw new SandboxError('server', 'The sandbox’s agent sent data that belongs to no file.');
    const fields = new Fields(frame.body);
    const kind = fields.text(TAG.kind);
    if (kind === SKIPPED) {
      onSkipped(fields.text(TAG.entryPath), fields.text(TAG.what));
      frame = await expect();
      continue;
    }
    if (KINDS[kind] !== 'file') {
      yield parseEntry(fields, null);
      frame = await expect();
      continue;
    }
    const start = await contentStart(expect);
    if (start.next !== null) {
      yield parseEntry(fields, Buffer.concat(start.pieces));
      frame = start.next;
      continue;
    }
    let following: Frame | null = null;
    async function* data(): AsyncGenerator<Buffer> {
      yield* start.pieces;
      try {
        for (;;) {
          const next = await expect();
          if (next.type !== FRAME.DATA) {
            following = next;
            return;
          }
          yield next.body;
        }
      } catch (error) {
        throw translate(error);
      }
    }
    yield parseEntry(fields, Readable.from(data(), { highWaterMark: PIECES_AHEAD }));
    if (following === null) {
      throw new SandboxError('internal', 'A file of the tree was not read to its end.');
    }
    frame = following;
  }
}

/**
 * The content of a small file and the frame after it; of a larger one the start, and null. Most files are small,
 * and a stream for each would cost more than the rest of the transfer.
 */
async function contentStart(expect: () => Promise<Frame>): Promise<{ pieces: Buffer[]; next: Frame | null }> {
  const pieces: Buffer[] = [];
  let size = 0;
  while (size <= SMALL_BYTES) {
    const frame = await expect();
    if (frame.type !== FRAME.DATA) return { pieces, next: frame };
    if (frame.body.length > 0) pieces.push(frame.body);
    size += frame.body.length;
  }
  return { pieces, next: null };
}

function encodeEntry(entry: TreeEntry, withTimes: boolean): Buffer {
  const fields: [number, FieldValue][] = [
    [TAG.entryPath, entry.path],
    [TAG.kind, LETTERS[entry.type]],
    [TAG.statMode, entry.mode],
  ];
  if (withTimes && entry.mtimeMs !== undefined)
    fields.push([TAG.mtimeMs, Math.max(0, Math.round(entry.mtimeMs))]);
  if (entry.linkTarget !== null) fields.push([TAG.link, entry.linkTarget]);
  return encodeFields(fields);
}

async function sendContent(
  connection: AgentConnection,
  content: Buffer | Readable,
  signal: AbortSignal,
): Promise<void> {
  for await (const bytes of contentChunks(content)) {
    for (let at = 0; at < bytes.length; at += MAX_DATA) {
      throwIfCancelled(signal);
      await connection.push(FRAME.DATA, bytes.subarray(at, at + MAX_DATA));
    }
  }
}

async function sendEntries(
  connection: AgentConnection,
  entries: AsyncIterable<TreeEntry>,
  withTimes: boolean,
  signal: AbortSignal,
): Promise<void> {
  for await (const entry of entries) {
    try {
      throwIfCancelled(signal);
      await connection.push(FRAME.ENTRY, encodeEntry(entry, withTimes));
      // Without the steps of a stream for the many small files.
      if (Buffer.isBuffer(entry.content) && entry.content.length <= MAX_DATA) {
        if (entry.content.length > 0) await connection.push(FRAME.DATA, entry.content);
      } else if (entry.content !== null) await sendContent(connection, entry.content, signal);
    } catch (error) {
      if (!Buffer.isBuffer(entry.content)) entry.content?.destroy();
      // The agent may refuse before the upload is complete; its reason says more than the broken pipe.
      if (error instanceof AgentDisconnectedError) await connection.expect(FRAME.OK);
      throw error;
    }
  }
  throwIfCancelled(signal);
  await connection.send(FRAME.END);
}

/**
 * Sends entries and awaits the agent's `OK`. When the signal fires, the stream ends early and this rejects
 * once the agent has removed what it had staged. The connection must not close by that signal itself.
 * @param withTimes the agent accepts modification times
 */
export async function sendTree(
  connection: AgentConnection,
  entries: AsyncIterable<TreeEntry>,
  withTimes: boolean,
  signal: AbortSignal,
): Promise<Fields> {
  let giveUp: NodeJS.Timeout | undefined;
  const cut = (): void => {
    connection.end();
    giveUp = setTimeout(() => connection.close(), UNDO_MS);
  };
  throwIfCancelled(signal);
  const release = onAbort(signal, cut);
  try {
    await sendEntries(connection, entries, withTimes, signal);
    return new Fields((await connection.expect(FRAME.OK)).body);
  } catch (error) {
    if (!signal.aborted) throw error;
    await connection.drained();
    throw new SandboxError('cancelled', 'The call was cancelled.', { cause: error });
  } finally {
    clearTimeout(giveUp);
    release();
  }
}
