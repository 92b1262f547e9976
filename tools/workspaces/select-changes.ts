import { posix } from 'node:path';
import type { WorkspaceChange, WorkspaceChanges } from '../../src/engines/engine.ts';

export interface Selected {
  wanted: WorkspaceChange[];
  /** Of `paths`, those at and below which nothing has changed. */
  unchanged: string[];
}

/**
 * The changes at or below `paths`, all if undefined. Paths are relative to the workspace, or absolute in the
 * sandbox or on the host. A renamed file is wanted by either of its names.
 */
export function selectChanges(
  { changes, localPath, path: root }: WorkspaceChanges,
  paths: readonly string[] | undefined,
): Selected {
  if (paths === undefined) return { wanted: changes, unchanged: [] };
  const named = new Map(paths.map((path) => [relativePath(path, [root, localPath]), path]));
  const deepest = [...named.keys()].reduce((depth, path) => Math.max(depth, path.split('/').length), 0);
  const found = new Set<string>();
  const isNamed = (path: string | null): boolean => {
    const folders = path === null ? [] : foldersOf(path, deepest).filter((folder) => named.has(folder));
    for (const folder of folders) found.add(folder);
    return folders.length > 0;
  };
  const wanted = changes.filter(({ path, from }) => [path, from].map(isNamed).includes(true));
  return { wanted, unchanged: [...named].flatMap(([folder, path]) => (found.has(folder) ? [] : [path])) };
}

/** Relative to the workspace, without a slash at either end; empty for the workspace itself. */
function relativePath(path: string, roots: readonly string[]): string {
  const normal = posix.normalize(path).replace(/\/$/, '');
  const root = roots.find((each) => normal === each || normal.startsWith(`${each}/`));
  const relative = normal.slice(root?.length ?? 0).replace(/^\//, '');
  return relative === '.' ? '' : relative;
}

/** The path itself, and what it is below, up to a depth; the workspace itself is empty. */
function foldersOf(path: string, deepest: number): string[] {
  const folders = [''];
  for (let end = 0; end !== -1 && folders.length <= deepest; ) {
    end = path.indexOf('/', end + 1);
    folders.push(end === -1 ? path : path.slice(0, end));
  }
  return folders;
}
