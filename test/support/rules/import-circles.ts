/** The rule that imports run one way: no circle of files, and no circle of rooms. */
import { posix } from 'node:path';
import { importsOf, type SourceFile } from './architecture.ts';

/** Edges of a graph: from each node, the nodes that it imports. */
export type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * `from > to`: known imports that close a circle, which are not reported. Do not add to this list.
 */
export const KNOWN_CIRCLES: readonly string[] = [];

/** Circles of files, each as the shortest way around: `a.ts > b.ts > a.ts`. */
export function fileCircles(files: readonly SourceFile[], known: readonly string[] = []): string[] {
  const graph = new Map<string, Set<string>>(files.map(({ path }) => [path, new Set()]));
  for (const { from, to } of edgesOf(files, known)) graph.get(from)?.add(to);
  return circlesOf(graph);
}

/**
 * Circles of rooms. A room is a folder; files next to rooms are a room each. A `context.ts`
 * holds the types that its rooms share: they may import its types although it uses theirs.
 */
export function roomCircles(files: readonly SourceFile[], known: readonly string[] = []): string[] {
  const folders = new Set(files.map(({ path }) => posix.dirname(path)));
  const withRooms = new Set([...folders].map((folder) => posix.dirname(folder)));
  const roomOf = (path: string) => {
    const folder = posix.dirname(path);
    return withRooms.has(folder) ? path : `${folder}/`;
  };
  const graph = new Map<string, Set<string>>(files.map(({ path }) => [roomOf(path), new Set()]));
  for (const { from, to, typeOnly } of edgesOf(files, known)) {
    if (typeOnly && posix.basename(to) === 'context.ts') continue;
    if (roomOf(from) !== roomOf(to)) graph.get(roomOf(from))?.add(roomOf(to));
  }
  return circlesOf(graph);
}

/** Entries of `known` that no longer exist. */
export function outdated(files: readonly SourceFile[], known: readonly string[]): string[] {
  const present = new Set(edgesOf(files, []).map(({ from, to }) => `${from} > ${to}`));
  return known.filter((edge) => !present.has(edge));
}

function edgesOf(files: readonly SourceFile[], known: readonly string[]) {
  const paths = new Set(files.map(({ path }) => path));
  return files.flatMap(({ path, text }) =>
    importsOf(text)
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ specifier, typeOnly }) => ({
        from: path,
        to: posix.normalize(posix.join(posix.dirname(path), specifier)),
        typeOnly,
      }))
      .filter(({ from, to }) => paths.has(to) && !known.includes(`${from} > ${to}`)),
  );
}

/** One circle for each import that lies on one, without repeating a circle that starts elsewhere. */
export function circlesOf(graph: Graph): string[] {
  const found = new Set<string>();
  for (const start of graph.keys()) {
    const circle = shortestCircle(graph, start);
    if (circle === null) continue;
    const first = circle.indexOf([...circle].sort()[0] ?? start);
    const turned = [...circle.slice(first), ...circle.slice(0, first)];
    found.add([...turned, ...turned.slice(0, 1)].join(' > '));
  }
  return [...found].sort();
}

/** Breadth first from `start` back to itself. */
function shortestCircle(graph: Graph, start: string): string[] | null {
  const before = new Map<string, string>();
  const queue = [start];
  for (const node of queue) {
    for (const next of graph.get(node) ?? []) {
      if (next === start) return pathTo(before, node);
      if (before.has(next)) continue;
      before.set(next, node);
      queue.push(next);
    }
  }
  return null;
}

function pathTo(before: ReadonlyMap<string, string>, end: string): string[] {
  const path = [end];
  for (let node = before.get(end); node !== undefined; node = before.get(node)) path.unshift(node);
  return path;
}
