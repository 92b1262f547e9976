import { posix } from 'node:path';
import { z } from 'zod';
import type { SandboxHandle } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { isBinary, NOT_PLAIN } from '../../src/shared/text/output-text.ts';
import {
  characterEnd,
  characterStart,
  decodeUtf8,
  isPlainText,
  MAX_CHARACTER_BYTES,
} from '../../src/shared/text/utf8.ts';
import { imageInfo } from './image-file.ts';

export interface FilePageRequest {
  path: string;
  cwd?: string | undefined;
  offset: number;
  limit: number;
  encoding: 'utf8' | 'base64';
}

/** The fields of a result with file content. */
export const fileOutput = z.object({
  path: z.string(),
  exists: z.boolean(),
  size_bytes: z.number().nullable(),
  encoding: z.string(),
  content: z.string().nullable(),
  next_offset: z.number().nullable(),
  note: z.string().optional(),
});

export type FileAnswer = z.output<typeof fileOutput>;

/**
 * Reads `limit` bytes of a file from `offset`; text is cut at whole characters. A missing file is a result,
 * not an error.
 *
 * @throws `not_found` for a missing `cwd`, `invalid_argument` for a `cwd` that is not a directory;
 *   `BinaryFileError` for binary data when the encoding is utf8
 */
export async function readFilePage(
  handle: SandboxHandle,
  request: FilePageRequest,
  signal: AbortSignal,
): Promise<FileAnswer> {
  const view = await handle.requireRunning(signal);
  const { path, cwd, offset, encoding } = request;
  const range = { offset, limit: Math.max(request.limit, MAX_CHARACTER_BYTES) };
  const read = await handle.files.read(path, cwd ?? null, range, signal);
  if (read === null) return { ...(await missingFile(handle, view, request, signal)), encoding };
  const end = offset + read.data.length;
  // Files in /proc report a size of 0 but have content.
  const last = read.data.length === 0 || (read.sizeBytes > 0 && end >= read.sizeBytes);
  const shown = encoding === 'base64' ? read.data : textPart(read.data, offset, last);
  if (encoding === 'utf8' && (isBinary(shown) || isImage(shown, offset)))
    throw new BinaryFileError(read.path, read.sizeBytes);
  return {
    path: read.path,
    exists: true,
    size_bytes: read.sizeBytes,
    encoding,
    content: encoding === 'base64' ? shown.toString('base64') : decodeUtf8(shown).replaceAll('\0', '␀'),
    next_offset: last ? null : endOfPart(read.data, offset, encoding),
    // Writing the text back as it is shown would change the file.
    ...(encoding === 'utf8' && !isPlainText(shown) && { note: NOT_PLAIN }),
  };
}

/**
 * The answer for a file that does not exist.
 *
 * @throws `not_found` for a missing `cwd`, `invalid_argument` for a `cwd` that is not a directory
 */
export async function missingFile(
  handle: SandboxHandle,
  view: { cwd: string },
  { path, cwd }: { path: string; cwd?: string | undefined },
  signal: AbortSignal,
): Promise<FileAnswer> {
  if (cwd !== undefined) await requireDirectory(handle, cwd, signal);
  return {
    path: posix.resolve(view.cwd, cwd ?? '', path),
    exists: false,
    size_bytes: null,
    encoding: 'utf8',
    content: null,
    next_offset: null,
  };
}

/** An image with a lot of text in its metadata is still not text. */
function isImage(shown: Buffer, offset: number): boolean {
  return offset === 0 && !isPlainText(shown) && imageInfo(shown) !== null;
}

/** "The file does not exist" would be misleading if its directory does not exist either. */
async function requireDirectory(handle: SandboxHandle, cwd: string, signal: AbortSignal): Promise<void> {
  const stat = await handle.files.stat(cwd, null, signal);
  if (stat?.type === 'directory') return;
  const named = `\`cwd\` ${JSON.stringify(cwd)}`;
  const options = {
    hint: 'Fix cwd, or leave it out and call sandbox_read_file with an absolute path.',
    details: { cwd },
  };
  if (stat === null) throw new SandboxError('not_found', `${named} does not exist in the sandbox.`, options);
  throw new SandboxError('invalid_argument', `${named} is a file, not a directory.`, options);
}

/** Cuts off the bytes of characters that start before the page or end after it. */
function textPart(data: Buffer, offset: number, last: boolean): Buffer {
  const start = offset === 0 ? 0 : characterStart(data);
  return data.subarray(start, last ? data.length : Math.max(start, characterEnd(data)));
}

function endOfPart(data: Buffer, offset: number, encoding: 'utf8' | 'base64'): number {
  return offset + (encoding === 'base64' ? data.length : characterEnd(data));
}

/** Text was requested, but the file is binary. */
export class BinaryFileError extends SandboxError {
  constructor(path: string, sizeBytes: number) {
    super(
      'invalid_argument',
      `${JSON.stringify(path)} is a binary file (${sizeBytes} bytes), not UTF-8 text.`,
      {
        hint: 'Call sandbox_read_file with encoding "base64", or sandbox_download_file.',
        details: { path, size_bytes: sizeBytes },
      },
    );
  }
}
