import { z } from 'zod';
import { SandboxError } from '../../src/shared/errors.ts';
import { ADDS, READ_ONLY, REPLACES } from '../common/annotations.ts';
import { decodeFiles, fileList } from '../common/file-content.ts';
import { cwd, encoding, localPath, mode, path, sandboxId } from '../common/schemas.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { download, upload } from '../transfers/file-transfer.ts';
import { OVERWRITE } from '../transfers/host-tree-place.ts';
import { downloadOutput, runTransfer, transferOutput } from '../transfers/transfer-call.ts';
import { editFile } from './edit/edit-file.ts';
import { BinaryFileError, fileOutput, readFilePage } from './file-page.ts';
import { type ImageFile, readImage } from './image-file.ts';
import { readLinePage } from './line-page.ts';
import { listFiles } from './list-files.ts';
import { searchFiles } from './search-files.ts';

const DEFAULT_PAGE_BYTES = 32_768;
const DEFAULT_CHUNK_BYTES = 65_536;
const MAX_CHUNK_BYTES = 1_048_576;
/** 8 TiB: no file in a sandbox gets that large, and file systems refuse much larger offsets. */
const MAX_OFFSET = 2 ** 43;

const limit = z.int().min(1).max(MAX_CHUNK_BYTES);
const chunkSize = limit.default(DEFAULT_CHUNK_BYTES);

// Refined instead of bounded: the list of tools stays short.
const fileOffset = z
  .int()
  .min(0)
  .refine((value) => value <= MAX_OFFSET, `at most ${MAX_OFFSET}`);

const mkDir = defineTool({
  name: 'sandbox_mk_dir',
  title: 'Make directory',
  description: 'Create a directory and its parents. An existing directory is fine.',
  searchHint: 'create folder, mkdir',
  toolsets: ['files'],
  annotations: { ...ADDS, idempotentHint: true },
  input: z.strictObject({ path, cwd, sandbox_id: sandboxId }),
  output: z.object({ sandbox_id: z.string(), path: z.string() }),
  async handle(args, { session, signal }) {
    const handle = await session.sandbox(args.sandbox_id);
    await handle.requireRunning(signal);
    const made = await handle.files.mkDir(args.path, args.cwd ?? null, signal);
    return { structured: { sandbox_id: handle.sandboxId, path: made.path } };
  },
});

const read = defineTool({
  name: 'sandbox_read_file',
  title: 'Read file',
  description:
    'Read a file: limit bytes from offset, or lines from from_line. A PNG, JPEG, GIF or WebP image is shown. A missing file returns exists: false.',
  toolsets: ['core', 'files'],
  annotations: READ_ONLY,
  input: z.strictObject({
    path,
    cwd,
    offset: fileOffset.default(0),
    limit: limit.default(DEFAULT_PAGE_BYTES),
    from_line: z.int().min(1).optional(),
    lines: z.int().min(1).optional(),
    encoding,
    sandbox_id: sandboxId,
  }),
  output: fileOutput.extend({
    from_line: z.number().optional(),
    to_line: z.number().optional(),
    total_lines: z.number().nullable().optional(),
    next_line: z.number().nullable().optional(),
    image: z.string().optional(),
  }),
  showsImages: true,
  async handle(args, { session, signal }) {
    const handle = await session.sandbox(args.sandbox_id);
    const { from_line, lines } = args;
    if (from_line !== undefined || lines !== undefined) {
      requireLinesAlone(args);
      const request = { ...args, fromLine: from_line ?? 1 };
      return { structured: await readLinePage(handle, request, signal) };
    }
    try {
      return { structured: await readFilePage(handle, args, signal) };
    } catch (error) {
      const isWhole = error instanceof BinaryFileError && args.offset === 0;
      const image = isWhole ? await readImage(handle, args, signal) : null;
      if (image === null) throw error;
      return imageAnswer(image);
    }
  },
});

const iterate = defineTool({
  name: 'sandbox_iter_file',
  title: 'Read file in chunks',
  description: 'Read a large file in chunks: pass next_cursor as cursor until it is null.',
  searchHint: 'large file in chunks',
  toolsets: ['files'],
  annotations: READ_ONLY,
  input: z.strictObject({
    path,
    cwd,
    chunk_size: chunkSize,
    cursor: z.string().optional(),
    encoding,
    sandbox_id: sandboxId,
  }),
  output: fileOutput.extend({ next_cursor: z.string().nullable() }),
  async handle(args, { session, signal }) {
    const offset = args.cursor === undefined ? 0 : offsetOf(args.cursor);
    const { path, cwd, encoding, chunk_size } = args;
    const request = { path, cwd, encoding, offset, limit: chunk_size };
    const page = await readFilePage(await session.sandbox(args.sandbox_id), request, signal);
    const next_cursor = page.next_offset === null ? null : cursorOf(page.next_offset);
    return { structured: { ...page, next_cursor } };
  },
});

const write = defineTool({
  name: 'sandbox_write_files',
  title: 'Write files',
  description: 'Write files atomically, creating parent directories.',
  toolsets: ['core', 'files'],
  annotations: REPLACES,
  input: z.strictObject({ files: fileList, cwd, sandbox_id: sandboxId }),
  output: z.object({
    sandbox_id: z.string(),
    files: z.array(z.object({ path: z.string(), size_bytes: z.number() })),
  }),
  async handle(args, { session, signal }) {
    const files = decodeFiles(args.files);
    const handle = await session.sandbox(args.sandbox_id);
    await handle.requireRunning(signal);
    const written = await handle.files.write(files, args.cwd ?? null, signal);
    return {
      structured: {
        sandbox_id: handle.sandboxId,
        files: written.map((file) => ({ path: file.path, size_bytes: file.sizeBytes })),
      },
    };
  },
});

const downloadFile = defineTool({
  name: 'sandbox_download_file',
  title: 'Download file',
  description: 'Copy a file or directory from the sandbox to the host.',
  searchHint: 'copy results to the host',
  toolsets: ['files'],
  annotations: REPLACES,
  input: z.strictObject({
    remote_path: path,
    local_path: localPath,
    cwd,
    create_parents: z.boolean().default(false),
    overwrite: z.enum(OVERWRITE).default('merge'),
    chunk_size: chunkSize,
    sandbox_id: sandboxId,
  }),
  output: downloadOutput,
  async handle(args, context) {
    const handle = await context.session.sandbox(args.sandbox_id);
    const request = {
      localPath: args.local_path,
      remotePath: args.remote_path,
      cwd: args.cwd ?? null,
      createParents: args.create_parents,
      overwrite: args.overwrite,
    };
    const call = {
      tool: 'sandbox_download_file',
      direction: 'download',
      request,
      more: [args.create_parents, args.overwrite],
    } as const;
    const { structured, executesOnHost } = await runTransfer(handle, call, context, (signal, report, note) =>
      download(handle, request, context.config, signal, report, note),
    );
    return { structured: { ...structured, executes_on_host: executesOnHost } };
  },
});

const uploadFile = defineTool({
  name: 'sandbox_upload_file',
  title: 'Upload file',
  description: 'Copy a file or directory from the host into the sandbox.',
  toolsets: ['core', 'files'],
  annotations: REPLACES,
  input: z.strictObject({
    local_path: localPath,
    remote_path: path,
    cwd,
    mode: mode.optional(),
    exclude: z.array(z.string()).default([]).describe('globs; a bare name at any depth'),
    sandbox_id: sandboxId,
  }),
  output: transferOutput,
  async handle(args, context) {
    const handle = await context.session.sandbox(args.sandbox_id);
    const request = {
      localPath: args.local_path,
      remotePath: args.remote_path,
      cwd: args.cwd ?? null,
      mode: args.mode === undefined ? null : Number.parseInt(args.mode, 8),
      exclude: args.exclude,
    };
    const more = [request.mode, ...new Set(request.exclude.toSorted())];
    const call = { tool: 'sandbox_upload_file', direction: 'upload', request, more } as const;
    const { structured } = await runTransfer(handle, call, context, (signal, report) =>
      upload(handle, request, context.config, signal, report),
    );
    return { structured };
  },
});

function requireLinesAlone({ offset, encoding }: { offset: number; encoding: string }): void {
  if (offset === 0 && encoding === 'utf8') return;
  throw new SandboxError('invalid_argument', '`from_line` and `lines` read text, without offset or base64.', {
    hint: 'Leave out offset and encoding, or from_line and lines.',
  });
}

/** Only the image block holds the bytes: a model pays for everything that the data repeats. */
function imageAnswer({ path, data, mimeType, width, height }: ImageFile) {
  const structured = {
    path,
    exists: true,
    size_bytes: data.length,
    encoding: 'image',
    content: null,
    next_offset: null,
    image: `${mimeType}, ${width} × ${height}`,
  };
  return { structured, image: { data, mimeType } };
}

function cursorOf(offset: number): string {
  return `at.${offset.toString(36)}`;
}

function offsetOf(cursor: string): number {
  const offset = /^at\.[0-9a-z]{1,11}$/.test(cursor) ? Number.parseInt(cursor.slice(3), 36) : Number.NaN;
  if (offset <= MAX_OFFSET) return offset;
  throw new SandboxError('invalid_argument', `Invalid \`cursor\` ${JSON.stringify(cursor.slice(0, 60))}.`, {
    hint: 'Pass the next_cursor of the last sandbox_iter_file, or leave it out to start at the beginning.',
  });
}

/** Files of a sandbox, in the order of the tool list. */
export const fileTools: readonly Tool[] = [
  mkDir,
  listFiles,
  searchFiles,
  read,
  iterate,
  write,
  editFile,
  downloadFile,
  uploadFile,
];
