import { z } from 'zod';
import type { WriteFile } from '../../src/engines/engine.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { hasLoneSurrogate } from '../../src/shared/text/utf8.ts';
import { encoding, mode, path } from './schemas.ts';

/** All files of one call together. */
const MAX_TOTAL_BYTES = 16 * 1024 * 1024;
/** Names that only a directory can have, such as one with a trailing slash. */
const NO_FILE_NAME = /(?:^|\/)\.{0,2}$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

const MAX_FILES = 1_000;

const fileContent = z.strictObject({
  path: path.refine((value) => !NO_FILE_NAME.test(value), 'a path that ends with a file name'),
  content: z.string(),
  encoding,
  mode: mode.optional(),
});

/** The same, for a tool whose list says where the rest is described. */
const briefContent = fileContent.extend({
  encoding: encoding.meta({ hidden: true }),
  mode: mode.optional().meta({ hidden: true }),
});

export const fileList = z
  .array(fileContent)
  .min(1)
  .refine((list) => list.length <= MAX_FILES, `a list of at most ${MAX_FILES} files`);

export const briefFileList = z
  .array(briefContent)
  .min(1)
  .refine((list) => list.length <= MAX_FILES, `a list of at most ${MAX_FILES} files`)
  .describe('as for sandbox_write_files');

/**
 * Decodes the contents of the files.
 *
 * @throws `invalid_argument` for content that is not in its encoding, or too much of it
 */
export function decodeFiles(files: readonly z.output<typeof fileContent>[]): WriteFile[] {
  let total = 0;
  return files.map((file, index) => {
    const content = decode(file, index);
    total += content.length;
    if (total > MAX_TOTAL_BYTES) {
      throw new SandboxError(
        'invalid_argument',
        `\`files\` contain more than ${MAX_TOTAL_BYTES} bytes in total.`,
        {
          hint: 'Upload large files with sandbox_upload_file, or write fewer files per call.',
        },
      );
    }
    return { path: file.path, content, mode: file.mode === undefined ? null : Number.parseInt(file.mode, 8) };
  });
}

function decode(file: z.output<typeof fileContent>, index: number): Buffer {
  if (file.encoding === 'base64') {
    // Blanks are removed first: an expression that allows them before and after the padding takes quadratic
    // time.
    const compact = file.content.replace(/\s/g, '');
    const digits = compact.replaceAll('=', '').length;
    if (BASE64.test(compact) && digits % 4 !== 1) return Buffer.from(compact, 'base64');
  } else if (!hasLoneSurrogate(file.content)) {
    return Buffer.from(file.content, 'utf8');
  }
  throw new SandboxError(
    'invalid_argument',
    `\`files[${index}].content\` of ${JSON.stringify(file.path)} is not valid ${file.encoding}.`,
    {
      hint: 'Nothing was written. Fix the content or its encoding and call sandbox_write_files again.',
    },
  );
}
