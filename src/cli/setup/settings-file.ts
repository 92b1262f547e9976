/** Reading and replacing a settings file that belongs to another program. */
import { mkdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SandboxError } from '../../shared/errors.ts';
import { writeFileAtomic } from '../../shared/fs/atomic-file.ts';

const MAX_BYTES = 16 * 1_024 ** 2;
const NEW_FILE_MODE = 0o600;
const BYTE_ORDER_MARK = '\ufeff';

/** A text as it is in the file; null if there is no file. */
export type FileText = string | null;

/** @throws SandboxError if it is no readable file of UTF-8 text */
export async function readSettings(path: string): Promise<FileText> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES)
      throw new SandboxError(
        'invalid_argument',
        `${path} has ${size} bytes, at most ${MAX_BYTES} are expected.`,
      );
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    if (error instanceof SandboxError) throw error;
    if (isCode(error, 'ENOENT')) return null;
    throw new SandboxError('permission', `${path} cannot be read: ${reasonOf(error)}`, {
      hint: 'Make it a readable file of UTF-8 text, then run this again.',
      cause: error,
    });
  }
}

/**
 * Replaces the file, through a symbolic link if it is one, and keeps its mode. `null` removes it.
 *
 * @throws SandboxError `conflict` if the file is no longer `expected`
 */
export async function replaceSettings(path: string, expected: FileText, text: FileText): Promise<void> {
  if ((await readSettings(path)) !== expected)
    throw new SandboxError('conflict', `${path} has just been changed by another program.`, {
      hint: 'Close that program, then run this again.',
    });
  try {
    if (text === null) return await rm(path, { force: true });
    if (expected === null) {
      await mkdir(dirname(path), { recursive: true });
      return await writeFileAtomic(path, text, NEW_FILE_MODE);
    }
    const real = await realpath(path);
    return await writeFileAtomic(real, text, (await stat(real)).mode & 0o777);
  } catch (error) {
    throw new SandboxError('permission', `${path} cannot be written: ${reasonOf(error)}`, {
      hint: 'Run it as the user who owns the file.',
      cause: error,
    });
  }
}

/** Separates a byte order mark, which editors of text do not expect. */
export function splitMark(text: string): [mark: string, rest: string] {
  return text.startsWith(BYTE_ORDER_MARK) ? [BYTE_ORDER_MARK, text.slice(1)] : ['', text];
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
