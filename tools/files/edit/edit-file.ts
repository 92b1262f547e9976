import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { SandboxHandle } from '../../../src/registry/types.ts';
import { KeyedLock } from '../../../src/shared/async/keyed-lock.ts';
import { SandboxError, throwIfCancelled } from '../../../src/shared/errors.ts';
import { decodeUtf8, hasLoneSurrogate, isPlainText } from '../../../src/shared/text/utf8.ts';
import { REPLACES } from '../../common/annotations.ts';
import { cwd, path, sandboxId } from '../../common/schemas.ts';
import { defineTool } from '../../common/tool.ts';
import { findText } from './find-text.ts';
import { type NearestText, nearestText } from './nearest-text.ts';
import { type Edited, lengthAfter, type Replacement, replaceAt } from './replace-text.ts';
import { unifiedDiff } from './unified-diff.ts';

const MAX_FILE_BYTES = 8 * 1024 * 1024;
const SLICE_BYTES = 1_048_576;
const MAX_EDITS = 100;
/** Of all edits together: more would keep this process busy for seconds. */
const MAX_REPLACEMENTS = 100_000;
const MAX_DIFF_CHARACTERS = 32_768;
const MAX_LISTED_LINES = 10;

/** Text for UTF-8, as no edit can write half a character. */
const text = z.string().refine((value) => !hasLoneSurrogate(value), 'text without unpaired surrogates');

const edit = z.strictObject({
  old_text: text.refine((value) => value !== '', 'text that is not empty'),
  new_text: text,
  replace_all: z.boolean().optional(),
});

type Edit = z.output<typeof edit>;

/** Edits of one file run one after another: concurrent edits would undo each other. */
const lock = new KeyedLock();

export const editFile = defineTool({
  name: 'sandbox_edit_file',
  title: 'Edit file',
  description:
    'Replace exact text that occurs once, or everywhere with replace_all; edits apply in order, all or none. Returns the diff.',
  searchHint: 'replace text, change code',
  toolsets: ['core', 'files'],
  annotations: { ...REPLACES, idempotentHint: false },
  input: z.strictObject({
    path,
    cwd,
    edits: z
      .array(edit)
      .min(1)
      .refine((list) => list.length <= MAX_EDITS, `a list of at most ${MAX_EDITS} edits`),
    expected_sha256: z
      .string()
      .refine((value) => /^[0-9a-fA-F]{64}$/.test(value), '64 hexadecimal digits')
      .optional(),
    sandbox_id: sandboxId,
  }),
  output: z.object({
    sandbox_id: z.string(),
    path: z.string(),
    replacements: z.number(),
    size_bytes: z.number(),
    sha256: z.string(),
    diff: z.string(),
  }),
  async handle(args, { session, signal }) {
    const handle = await session.sandbox(args.sandbox_id);
    await handle.requireRunning(signal);
    const where = await handle.files.stat(args.path, args.cwd ?? null, signal);
    if (where === null) throw missing(args.path);
    return lock.run(`${handle.sandboxId} ${where.path}`, async () => {
      const file = await readWhole(handle, where.path, signal);
      requireDigest(file, args.expected_sha256);
      const { edited, replacements } = await applyEdits(file, args.edits, signal);
      const [written] = await handle.files.write(
        [{ path: file.path, content: edited.content, mode: null }],
        null,
        signal,
      );
      return {
        structured: {
          sandbox_id: handle.sandboxId,
          path: written?.path ?? file.path,
          replacements,
          size_bytes: edited.content.length,
          sha256: sha256Of(edited.content),
          diff: unifiedDiff(file.path, file.content, edited, MAX_DIFF_CHARACTERS),
        },
      };
    });
  },
});

interface TextFile {
  path: string;
  content: Buffer;
}

async function readWhole(handle: SandboxHandle, path: string, signal: AbortSignal): Promise<TextFile> {
  const slices: Buffer[] = [];
  let length = 0;
  for (;;) {
    const read = await handle.files.read(path, null, { offset: length, limit: SLICE_BYTES }, signal);
    if (read === null) throw missing(path);
    slices.push(read.data);
    length += read.data.length;
    if (Math.max(length, read.sizeBytes) > MAX_FILE_BYTES) {
      throw new SandboxError(
        'invalid_argument',
        `${JSON.stringify(read.path)} has ${Math.max(length, read.sizeBytes)} bytes; at most ${MAX_FILE_BYTES} can be edited.`,
        { hint: 'Nothing was changed. Edit it inside with sandbox_run_command, for example with sed -i.' },
      );
    }
    if (read.data.length > 0 && length < read.sizeBytes) continue;
    const content = Buffer.concat(slices);
    if (!content.includes(0)) return { path: read.path, content };
    throw new SandboxError('invalid_argument', `${JSON.stringify(read.path)} is a binary file.`, {
      hint: 'Nothing was changed. Convert UTF-16 text first: sandbox_run_command cmd "iconv".',
    });
  }
}

function requireDigest({ path, content }: TextFile, expected: string | undefined): void {
  const sha256 = sha256Of(content);
  if (expected === undefined || expected.toLowerCase() === sha256) return;
  throw new SandboxError(
    'conflict',
    `${JSON.stringify(path)} has changed: its sha256 is ${sha256}, not ${expected.toLowerCase()}.`,
    {
      hint: 'Nothing was changed. Call sandbox_read_file, and then sandbox_edit_file with what it has now.',
      details: { path, sha256 },
    },
  );
}

async function applyEdits(file: TextFile, edits: readonly Edit[], signal: AbortSignal) {
  let edited: Edited = { content: file.content, changes: [] };
  let replacements = 0;
  for (const [index, { old_text, new_text, replace_all }] of edits.entries()) {
    // Large files take a while; other calls run in between.
    await new Promise(setImmediate);
    throwIfCancelled(signal);
    const found = findText(edited.content, old_text, new_text, MAX_REPLACEMENTS + 1);
    if (found.length === 0) throw notFound(file.path, index, edited.content, old_text);
    if (found.length > 1 && replace_all !== true) throw ambiguous(file.path, index, edited.content, found);
    if (replacements + found.length > MAX_REPLACEMENTS) throw tooOften(file.path, index);
    requireEncoding(file, index, new_text);
    const length = lengthAfter(edited.content, found);
    if (length > MAX_FILE_BYTES) throw tooLong(file.path, index, length);
    edited = replaceAt(edited, found);
    replacements += found.length;
  }
  return { edited, replacements };
}

/** The rest of a file that is not UTF-8 stays as it is; text of another encoding must not be mixed in. */
function requireEncoding({ path, content }: TextFile, index: number, newText: string): void {
  if (Buffer.byteLength(newText) === newText.length || isPlainText(content)) return;
  throw new SandboxError(
    'invalid_argument',
    `${JSON.stringify(path)} is not UTF-8, and \`edits[${index}].new_text\` has non-ASCII characters.`,
    { hint: 'Nothing was changed. Insert only ASCII text, or convert the file first with iconv.' },
  );
}

function notFound(path: string, index: number, content: Buffer, oldText: string): SandboxError {
  const nearest = nearestText(decodeUtf8(content).replaceAll('\r\n', '\n'), oldText);
  const where =
    nearest === null
      ? ''
      : ` The nearest text${nearest.blanksOnly ? ', which differs only in whitespace' : ''}:\n${numbered(nearest)}`;
  return new SandboxError(
    'not_found',
    `\`edits[${index}].old_text\` does not occur in ${JSON.stringify(path)}.${where}`,
    {
      hint: 'Nothing was changed. Copy old_text exactly from sandbox_read_file, whitespace included.',
      details: { path, edit: index, nearest_line: nearest?.line ?? null },
    },
  );
}

/** With line numbers, so that file content cannot be mistaken for a line of the message. */
function numbered({ line, text }: NearestText): string {
  return text
    .split('\n')
    .map((content, index) => `${line + index}| ${content}`)
    .join('\n');
}

function ambiguous(
  path: string,
  index: number,
  content: Buffer,
  found: readonly Replacement[],
): SandboxError {
  const lines = linesAt(
    content,
    found.slice(0, MAX_LISTED_LINES).map(({ from }) => from),
  );
  const more = found.length > lines.length ? ', …' : '';
  return new SandboxError(
    'conflict',
    `\`edits[${index}].old_text\` occurs ${found.length > MAX_REPLACEMENTS ? `more than ${MAX_REPLACEMENTS}` : found.length} times in ${JSON.stringify(path)}, at lines ${lines.join(', ')}${more}.`,
    {
      hint: 'Nothing was changed. Add the lines around it to old_text, or pass replace_all.',
      details: { path, edit: index, lines },
    },
  );
}

function linesAt(content: Buffer, positions: readonly number[]): number[] {
  let line = 1;
  let at = 0;
  return positions.map((position) => {
    for (
      let next = content.indexOf(0x0a, at);
      next !== -1 && next < position;
      next = content.indexOf(0x0a, at)
    ) {
      line++;
      at = next + 1;
    }
    return line;
  });
}

function tooLong(path: string, index: number, length: number): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `\`edits[${index}]\` would make ${JSON.stringify(path)} ${length} bytes long; at most ${MAX_FILE_BYTES} can be edited.`,
    { hint: 'Nothing was changed. Edit it inside with sandbox_run_command.' },
  );
}

function tooOften(path: string, index: number): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `\`edits[${index}]\` would make more than ${MAX_REPLACEMENTS} replacements in ${JSON.stringify(path)}.`,
    { hint: 'Nothing was changed. Edit it inside with sandbox_run_command, for example with sed -i.' },
  );
}

function missing(path: string): SandboxError {
  return new SandboxError('not_found', `${JSON.stringify(path)} does not exist in the sandbox.`, {
    hint: 'Create it with sandbox_write_files, or fix path or cwd.',
    details: { path },
  });
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
