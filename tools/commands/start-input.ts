import { z } from 'zod';
import type { SandboxHandle } from '../../src/registry/types.ts';
import { hasLoneSurrogate } from '../../src/shared/text/utf8.ts';
import { briefFileList, decodeFiles, type fileList } from '../common/file-content.ts';

/** It travels in one message to the sandbox, together with arguments and environment. */
const MAX_STDIN_BYTES = 524_288;

/** What a program starts with: files that are written first, and its standard input. */
export const inputShape = {
  files: briefFileList.optional(),
  stdin: z
    .string()
    .refine(
      (value) => !value.includes('\0') && !hasLoneSurrogate(value),
      'text without NUL or unpaired surrogates',
    )
    .refine(
      (value) => Buffer.byteLength(value) <= MAX_STDIN_BYTES,
      `at most ${MAX_STDIN_BYTES} bytes of text`,
    )
    .optional(),
};

/**
 * Writes the files; relative paths start at the program's own `cwd`.
 *
 * @throws as `sandbox_write_files`; nothing has been run then
 */
export async function writeInputFiles(
  handle: SandboxHandle,
  { files, cwd }: { files?: z.output<typeof fileList> | undefined; cwd?: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  if (files === undefined) return;
  const decoded = decodeFiles(files);
  await handle.requireRunning(signal);
  await handle.files.write(decoded, cwd ?? null, signal);
}
