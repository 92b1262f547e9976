import { z } from 'zod';
import type { ListedEntry } from '../../src/engines/engine.ts';
import { formatCount } from '../../src/shared/text/text.ts';
import { READ_ONLY } from '../common/annotations.ts';
import { pathText, toBytes } from '../common/byte-path.ts';
import { parsePathCursor, pathCursor } from '../common/path-cursor.ts';
import { path, sandboxId } from '../common/schemas.ts';
import { defineTool } from '../common/tool.ts';
import { type PathFilter, pathFilter } from './walk/path-filter.ts';
import { Walk, type WalkedEntry } from './walk/walk.ts';
import { notListable, resolveRoot, shownPath } from './walk/walk-root.ts';

/** The agent reads trees as deep. */
const MAX_DEPTH = 200;
/** A page of a tree with few matches ends after this long. */
const MAX_LIST_MS = 20_000;

type Listed = { path: string; type: ListedEntry['type']; size_bytes: number; modified_at: number };

export const listFiles = defineTool({
  name: 'sandbox_list_files',
  title: 'List files',
  description: 'List a directory, sorted. pattern is a glob (*.ts, src/**/*.ts) and searches all levels.',
  searchHint: 'find files, ls, directory tree',
  toolsets: ['core', 'files'],
  annotations: READ_ONLY,
  input: z.strictObject({
    path: path.default('.'),
    pattern: z.string().optional(),
    depth: z.int().min(1).max(MAX_DEPTH).optional().describe('default 1; all with pattern'),
    ignored: z.boolean().default(false).describe('also what .gitignore excludes'),
    limit: z.int().min(1).max(1_000).default(200),
    cursor: z.string().optional(),
    sandbox_id: sandboxId,
  }),
  output: z.object({
    sandbox_id: z.string(),
    path: z.string(),
    entries: z.array(z.record(z.string(), z.unknown())),
    next_cursor: z.string().nullable(),
  }),
  async handle(args, { session, signal, softTimeoutMs }) {
    const handle = await session.sandbox(args.sandbox_id);
    const root = await resolveRoot(handle, args.path, signal);
    const filter = pathFilter(args.pattern, 'pattern', root);
    const depth = args.depth ?? (args.pattern === undefined ? 1 : MAX_DEPTH);
    const { sandboxId } = handle;
    const call = ['sandbox_list_files', sandboxId, root, args.pattern ?? null, depth, args.ignored] as const;
    const { parts: after } = parsePathCursor(args.cursor, call);
    const explorer = await handle.files.explore(signal);
    try {
      const request = { root: toBytes(root), after, depth, ignored: args.ignored, details: true };
      const walk = await Walk.open(explorer, request);
      if (walk === null) throw await notListable(handle, root, signal);
      const until = performance.now() + Math.min(MAX_LIST_MS, softTimeoutMs);
      const { entries, end } = await page(walk, filter, args.limit, until);
      const next_cursor = end === null ? null : pathCursor({ parts: end, line: 0 }, call);
      const structured = { sandbox_id: sandboxId, path: root, entries, next_cursor };
      return { structured, text: listText(structured) };
    } finally {
      explorer.close();
    }
  },
});

/** The next entries that the filter wants, up to a limit or a time, and where it ended; null for the last ones. */
async function page(walk: Walk, isWanted: PathFilter, limit: number, until: number) {
  const entries: Listed[] = [];
  let last: readonly string[] = [];
  for (;;) {
    const walked = await walk.next();
    if (walked === null) return { entries, end: null };
    // One entry too many tells whether there are more.
    const isMatch = isWanted(walked.parts);
    if (isMatch && entries.length === limit) return { entries, end: last };
    if (isMatch) entries.push(listed(walked));
    last = walked.parts;
    if (performance.now() >= until) return { entries, end: last };
  }
}

function listed({ parts, entry }: WalkedEntry): Listed {
  const { type, sizeBytes, mtimeMs } = entry;
  return { path: pathText(parts), type, size_bytes: sizeBytes, modified_at: mtimeMs };
}

const MARKS: Record<ListedEntry['type'], string> = { file: '', directory: '/', symlink: '@', other: '|' };

/** One line per entry, as `ls` shows them. */
function listText(answer: { path: string; entries: readonly Listed[]; next_cursor: string | null }): string {
  const lines = answer.entries.map(({ path, type, size_bytes, modified_at }) => {
    const name = `${shownPath(path)}${MARKS[type]}`;
    if (type !== 'file') return name;
    return `${name}  ${formatCount(size_bytes)} bytes  ${new Date(modified_at).toISOString().slice(0, 19)}Z`;
  });
  const more = answer.next_cursor === null ? 'no more' : `next_cursor: ${answer.next_cursor}`;
  const count = lines.length === 1 ? '1 entry' : `${lines.length} entries`;
  return [`${shownPath(answer.path)}: ${count}, ${more}`, ...lines].join('\n');
}
