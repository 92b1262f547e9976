import { z } from 'zod';
import type { WorkspaceChange } from '../../src/engines/engine.ts';
import type { SandboxWorkspace } from '../../src/registry/types.ts';
import { plural } from '../../src/shared/text/text.ts';
import { READ_ONLY, REPLACES } from '../common/annotations.ts';
import { pathText, toBytes } from '../common/byte-path.ts';
import { type Call, type PathPosition, parsePathCursor, pathCursor } from '../common/path-cursor.ts';
import { sandboxId } from '../common/schemas.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { ExecutedOnHost } from '../transfers/executes-on-host.ts';
import { existingLocalPath } from '../transfers/local-path.ts';
import { type Contents, gitPatch } from './git-patch.ts';
import { selectChanges } from './select-changes.ts';

/** Characters of a page of a diff, which still takes the first file whole. */
const PAGE_LENGTH = 24_000;
const MAX_DIFF_LENGTH = 64_000;
/** A file with more is named, not compared. */
const MAX_CONTENT_BYTES = 1_048_576;
/** Of a page, also of a diff, and of what an apply names. */
const LIST_LIMIT = 200;
/** A page of a diff ends after this long: in the cloud each file takes a request. */
const MAX_DIFF_MS = 20_000;
/** Files that the user's question names. */
const MAX_NAMED = 10;
/** Not that nothing has changed: these are never listed. */
const UNCHANGED =
  'nothing there can be applied: not .git (fetch commits from git_url), special files, or new files that .gitignore excludes';

const paths = z.array(z.string()).optional().describe('relative to the workspace');

const counts = z.record(z.string(), z.unknown());
const changedFiles = z.array(z.record(z.string(), z.unknown()));

const changes = defineTool({
  name: 'sandbox_changes',
  title: 'Changes of the workspace',
  description:
    'What the sandbox changed in its workspace. diff and patch are paged by cursor. Host: git fetch from git_url.',
  searchHint: 'git diff of the workspace',
  toolsets: ['files'],
  annotations: READ_ONLY,
  input: z.strictObject({
    format: z.enum(['list', 'diff', 'patch']).default('list').describe('patch: for git apply'),
    paths,
    cursor: z.string().optional(),
    sandbox_id: sandboxId,
  }),
  output: z.object({
    local_path: z.string(),
    counts,
    changes: changedFiles,
    diff: z.string().nullable(),
    not_compared: z.array(z.string()),
    ignored: z.int(),
    skipped: z.int(),
    git_url: z.string().nullable(),
    next_cursor: z.string().nullable(),
  }),
  async handle(args, { session, signal, config, softTimeoutMs }) {
    const until = performance.now() + Math.min(MAX_DIFF_MS, softTimeoutMs);
    const handle = await session.sandbox(args.sandbox_id);
    const workspace = handle.workspace();
    const found = await workspace.changes(signal);
    await existingLocalPath(found.localPath, config);
    const { wanted } = selectChanges(found, args.paths);
    const call = ['sandbox_changes', handle.sandboxId, args.format, args.paths ?? null] as const;
    const from = pageStart(wanted, parsePathCursor(args.cursor, call));
    const page =
      args.format === 'list'
        ? { diff: null, notCompared: [], end: Math.min(wanted.length, from + LIST_LIMIT) }
        : await diffPage(workspace, wanted, { from, until, whole: args.format === 'patch' }, signal);
    return {
      structured: {
        local_path: found.localPath,
        counts: countsOf(wanted),
        changes: wanted.slice(from, page.end).map(answered),
        diff: page.diff,
        not_compared: page.notCompared,
        ignored: found.ignored,
        skipped: found.skipped,
        git_url: await handle.gitUrl(),
        next_cursor: page.end < wanted.length ? cursorAt(wanted[page.end - 1], call) : null,
      },
    };
  },
});

const applyChanges = defineTool({
  name: 'sandbox_apply_changes',
  title: 'Apply changes',
  description: "Write the workspace's changes to the host folder, except files changed there meanwhile.",
  searchHint: 'save the work to the project',
  toolsets: ['files'],
  annotations: REPLACES,
  input: z.strictObject({ paths, dry_run: z.boolean().optional(), sandbox_id: sandboxId }),
  output: z.object({
    counts,
    applied: changedFiles,
    refused: changedFiles,
    executes_on_host: z.array(z.string()),
  }),
  async handle(args, { session, signal, config, confirm }) {
    const workspace = (await session.sandbox(args.sandbox_id)).workspace();
    // Before the list that the user agrees to, which would name what is about to be finished.
    if (!args.dry_run) await workspace.finishApply(signal);
    const found = await workspace.changes(signal);
    const { localPath } = found;
    await existingLocalPath(localPath, config);
    const { wanted, unchanged } = selectChanges(found, args.paths);
    const shown = {
      applied: wanted.filter(({ refused }) => refused === null),
      refused: wanted.filter(({ refused }) => refused !== null),
    };
    const isDone = args.dry_run || shown.applied.length === 0;
    // All of them are the subject: the question names some, and the sandbox may change others meanwhile.
    if (!isDone) await confirm(questionAbout(localPath, shown.applied), JSON.stringify(shown.applied));
    const result = isDone ? shown : await workspace.apply(shown.applied, signal);
    const refused = [
      ...(isDone ? shown.refused : [...shown.refused, ...result.refused]).map(answered),
      ...unchanged.map((path) => ({ path, status: null, refused: UNCHANGED })),
    ];
    return {
      structured: {
        counts: { applied: result.applied.length, refused: refused.length },
        applied: result.applied.slice(0, LIST_LIMIT).map(answered),
        refused: refused.slice(0, LIST_LIMIT),
        executes_on_host: executedOnHost(result.applied),
      },
    };
  },
});

function executedOnHost(list: WorkspaceChange[]): string[] {
  const executed = new ExecutedOnHost();
  for (const { path, after } of list) if (after !== null) executed.add(path);
  return executed.paths;
}

/** Names first what programs of the host may run, which other files could push out of sight. */
function questionAbout(localPath: string, list: WorkspaceChange[]): string {
  const executed = new Set(executedOnHost(list));
  const rank = ({ path }: WorkspaceChange): number => (executed.has(path) ? 0 : 1);
  const named = list
    .toSorted((a, b) => rank(a) - rank(b))
    .slice(0, MAX_NAMED)
    .map(described);
  const more = list.length > MAX_NAMED ? `, and ${list.length - MAX_NAMED} more` : '';
  return `Write ${plural(list.length, 'changed file')} to ${localPath}? ${named.join(', ')}${more}.`;
}

function described({ path, status, from, after }: WorkspaceChange): string {
  const source = from === null ? '' : ` from ${JSON.stringify(from)}`;
  const size = after === null ? '' : ` (${plural(after.sizeBytes, 'byte')})`;
  return `${status} ${JSON.stringify(path)}${source}${size}`;
}

function answered({ path, status, from, before, after, refused }: WorkspaceChange) {
  return {
    path,
    status,
    from,
    size_before: before?.sizeBytes ?? null,
    size_after: after?.sizeBytes ?? null,
    refused,
  };
}

function countsOf(list: WorkspaceChange[]) {
  const counts = { added: 0, modified: 0, deleted: 0, renamed: 0, mode: 0, refused: 0 };
  for (const { status, refused } of list) {
    counts[status] += 1;
    if (refused !== null) counts.refused += 1;
  }
  return counts;
}

/** By path: what has changed since the last page shifts the others. */
function cursorAt(last: WorkspaceChange | undefined, call: Call): string | null {
  return last === undefined ? null : pathCursor({ parts: toBytes(last.path).split('/'), line: 0 }, call);
}

function pageStart(list: readonly WorkspaceChange[], { parts }: PathPosition): number {
  if (parts.length === 0) return 0;
  const last = pathText(parts);
  const index = list.findIndex(({ path }) => path > last);
  return index === -1 ? list.length : index;
}

async function diffPage(
  workspace: SandboxWorkspace,
  list: WorkspaceChange[],
  { from, until, whole }: { from: number; until: number; whole: boolean },
  signal: AbortSignal,
) {
  let diff = '';
  const notCompared: string[] = [];
  let end = from;
  for (; end < Math.min(list.length, from + LIST_LIMIT) && diff.length < PAGE_LENGTH; end += 1) {
    if (end > from && performance.now() >= until) break;
    const change = list[end];
    if (change === undefined) break;
    // Git would write what an apply must not, or stop at a hidden file that is there.
    if (whole && change.refused !== null) continue;
    const contents = await contentsOf(workspace, change, signal);
    const text = contents === null ? null : gitPatch(change, contents, whole);
    // Half of a file is no patch.
    if (text === null || text.length > MAX_DIFF_LENGTH) notCompared.push(change.path);
    else if (end > from && diff.length + text.length > PAGE_LENGTH) break;
    else diff += text;
  }
  return { diff, notCompared, end };
}

/** Null for files that are too large to compare. */
async function contentsOf(
  workspace: SandboxWorkspace,
  { path, from, before, after }: WorkspaceChange,
  signal: AbortSignal,
): Promise<Contents | null> {
  if (Math.max(before?.sizeBytes ?? 0, after?.sizeBytes ?? 0) > MAX_CONTENT_BYTES) return null;
  const read = (name: string, side: 'before' | 'after') =>
    workspace.read(name, side, MAX_CONTENT_BYTES, signal);
  return {
    before: before === null ? null : await read(from ?? path, 'before'),
    after: after === null ? null : await read(path, 'after'),
  };
}

/** Review what a sandbox did to a folder of the host, and take it over. */
export const workspaceTools: readonly Tool[] = [changes, applyChanges];
