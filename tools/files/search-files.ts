import { posix } from 'node:path';
import { z } from 'zod';
import { plural } from '../../src/shared/text/text.ts';
import { READ_ONLY } from '../common/annotations.ts';
import { toBytes } from '../common/byte-path.ts';
import { parsePathCursor, pathCursor } from '../common/path-cursor.ts';
import { path, sandboxId } from '../common/schemas.ts';
import { defineTool } from '../common/tool.ts';
import { linePattern } from './search/line-pattern.ts';
import { type FoundFile, pageLines } from './search/page-lines.ts';
import { search } from './search/search.ts';
import { pathFilter } from './walk/path-filter.ts';
import { notListable, resolveRoot, shownPath } from './walk/walk-root.ts';

const MAX_CONTEXT = 10;
/** A page with few matches ends after this long. */
const MAX_SEARCH_MS = 20_000;

export const searchFiles = defineTool({
  name: 'sandbox_search_files',
  title: 'Search files',
  description:
    'Search lines of files below path for an RE2 pattern, like grep -rn. Skips binary and ignored files.',
  searchHint: 'grep, find text in code',
  toolsets: ['core', 'files'],
  annotations: READ_ONLY,
  input: z.strictObject({
    pattern: z.string().min(1),
    path: path.default('.'),
    glob: z.string().optional(),
    context: z.int().min(0).max(MAX_CONTEXT).default(0),
    case: z.enum(['sensitive', 'insensitive']).default('sensitive'),
    limit: z.int().min(1).max(1_000).default(100),
    cursor: z.string().optional(),
    sandbox_id: sandboxId,
  }),
  output: z.object({
    sandbox_id: z.string(),
    path: z.string(),
    files: z.array(z.record(z.string(), z.unknown())),
    matches: z.number(),
    files_searched: z.number(),
    binary_files: z.number(),
    unreadable_files: z.number(),
    partly_searched_files: z.number(),
    next_cursor: z.string().nullable(),
  }),
  async handle(args, { session, signal, softTimeoutMs }) {
    const pattern = linePattern(args.pattern, args.case === 'insensitive');
    const handle = await session.sandbox(args.sandbox_id);
    const named = await resolveRoot(handle, args.path, signal);
    const isWanted = pathFilter(args.glob, 'glob', named);
    const kind = [args.pattern, args.case, args.glob ?? null];
    const call = ['sandbox_search_files', handle.sandboxId, named, ...kind] as const;
    const resume = parsePathCursor(args.cursor, call);
    const isFile = (await handle.files.stat(named, null, signal))?.type === 'file';
    const root = isFile ? posix.dirname(named) : named;
    const limits = {
      matches: args.limit,
      until: performance.now() + Math.min(MAX_SEARCH_MS, softTimeoutMs),
    };
    const file = isFile ? toBytes(posix.basename(named)) : null;
    const request = { root: toBytes(root), file, pattern, isWanted, resume, limits };
    const page = await search(handle.files, request, signal);
    if (page === null) throw await notListable(handle, named, signal);
    const { files, matches, end } = await pageLines(handle.files, toBytes(root), page, args.context, signal);
    const structured = {
      sandbox_id: handle.sandboxId,
      path: root,
      files,
      matches,
      files_searched: page.filesSearched,
      binary_files: page.binaryFiles,
      unreadable_files: page.unreadableFiles,
      partly_searched_files: page.truncatedFiles,
      next_cursor: end === null ? null : pathCursor(end, call),
    };
    return { structured, text: searchText(structured) };
  },
});

/** Grouped by file; each line with its number, `-` after that of a context line. */
function searchText(answer: {
  path: string;
  files: readonly FoundFile[];
  matches: number;
  files_searched: number;
  binary_files: number;
  unreadable_files: number;
  partly_searched_files: number;
  next_cursor: string | null;
}): string {
  const skipped = [
    [answer.binary_files, 'binary'],
    [answer.unreadable_files, 'unreadable'],
    [answer.partly_searched_files, 'only partly searched'],
  ] as const;
  const counts = skipped.filter(([count]) => count > 0).map(([count, kind]) => `${count} ${kind}`);
  const more = answer.next_cursor === null ? '' : `; next_cursor: ${answer.next_cursor}`;
  const head = `${plural(answer.matches, 'match').replace(/matchs$/, 'matches')} in ${plural(answer.files_searched, 'file')} below ${shownPath(answer.path)}`;
  const blocks = answer.files.map(({ path, lines }) =>
    [
      shownPath(path),
      ...lines.map(({ line, text, context }) => `  ${line}${context ? '-' : ':'} ${text}`),
    ].join('\n'),
  );
  return [`${[head, ...counts].join(', ')}${more}`, ...blocks].join('\n');
}
