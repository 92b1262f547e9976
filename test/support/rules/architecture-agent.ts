/** The rules of the C agent: rooms in one order, a header for each, and no circle of files. */
import { posix } from 'node:path';
import type { SourceFile } from './architecture.ts';
import { circlesOf } from './import-circles.ts';

/** From top to bottom. A room may use rooms of lower layers, never one of its own layer. */
export const LAYERS: readonly (readonly string[])[] = [
  ['main.c'],
  ['init'],
  ['relay', 'shell', 'egress', 'command', 'host'],
  ['files', 'process'],
  ['wire'],
];
/** Headers besides `ROOM/ROOM.h`, for one room alone. */
const PRIVATE_HEADERS = ['egress/netlink.h'];

/** Includes that do not lead to the file's own room or to the header of a lower one. */
export function includeViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    [...text.matchAll(/^#include "([^"]+)"/gm)].flatMap(([, header = '']) => {
      const [from, to] = [roomOf(path), roomOf(header)];
      if (layerOf(from) === -1) return [`${path}: in no known room`];
      const isOwn = from === to && (header === `${to}/${to}.h` || PRIVATE_HEADERS.includes(header));
      const isLower = header === `${to}/${to}.h` && layerOf(to) > layerOf(from);
      return isOwn || isLower ? [] : [`${path}: includes ${header}`];
    }),
  );
}

/** Uses of a function or variable that is defined in a room which is not a lower one. */
export function useViolations(files: readonly SourceFile[]): string[] {
  return [...dependencies(files)].flatMap(([from, targets]) =>
    [...targets]
      .filter((to) => roomOf(from) !== roomOf(to) && layerOf(roomOf(to)) <= layerOf(roomOf(from)))
      .map((to) => `${from}: uses ${to}`),
  );
}

/** Circles of source files, by what each one uses of the others: `a.c > b.c > a.c`. */
export function sourceCircles(files: readonly SourceFile[]): string[] {
  return circlesOf(dependencies(files));
}

/**
 * From each source file to those that define a function or variable it names; the same edges that a linker
 * sees.
 */
export function dependencies(files: readonly SourceFile[]): Map<string, Set<string>> {
  const sources = files.filter(({ path }) => path.endsWith('.c'));
  const definedIn = new Map(
    sources.flatMap(({ path, text }) => definitions(text, false).map((name) => [name, path])),
  );
  return new Map(
    sources.map(({ path, text }) => {
      const own = new Set(definitions(text, true));
      const targets = [...code(text).matchAll(/(?<![.>\w])[a-z_]\w*/g)]
        .filter(([name]) => !own.has(name))
        .flatMap(([name]) => definedIn.get(name) ?? [])
        .filter((target) => target !== path);
      return [path, new Set(targets)];
    }),
  );
}

/**
 * Names of the functions and variables that a C text defines at its top level, the static ones or the others.
 */
export function definitions(text: string, isStatic: boolean): string[] {
  const body = code(text).replace(/^#.*$/gm, '');
  const functions = /^(static )?(?:_Noreturn |const |unsigned |struct |enum )*\w+ \**(\w+)\([^;{]*\) \{/gm;
  const variables = /^(static )?(?:const |unsigned |struct )*\w+ \**(\w+)(?:\[[^\]]*\])*(?: = |;|,)/gm;
  return [...body.matchAll(functions), ...body.matchAll(variables)].flatMap(([, statically, name]) =>
    name !== undefined && (statically !== undefined) === isStatic ? [name] : [],
  );
}

/** The text without comments and strings. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

/** `egress` of `egress/egress-tcp.c`; a file outside of any room is a room. */
function roomOf(path: string): string {
  return posix.dirname(path) === '.' ? path : (path.split('/')[0] ?? path);
}

function layerOf(room: string): number {
  return LAYERS.findIndex((layer) => layer.includes(room));
}
