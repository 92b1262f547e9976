import { compileGlob, type Glob, matchesGlob } from './glob.ts';

/** Longer patterns are no patterns of people; they would take long to match. */
export const MAX_PATTERN_BYTES = 256;
/** The mark that some editors put at the beginning of a file, one character per byte. */
const BYTE_ORDER_MARK = '\xef\xbb\xbf';

interface IgnoreRule {
  glob: Glob;
  /** Matched against the path from the directory of its file, not against the name alone. */
  isAnchored: boolean;
  directoriesOnly: boolean;
  isNegated: boolean;
}

/** The rules of a .gitignore, and the depth of its directory below the root of the walk. */
export interface IgnoreScope {
  rules: readonly IgnoreRule[];
  depth: number;
}

/** Parses a .gitignore, one character per byte. */
export function parseIgnoreFile(text: string): readonly IgnoreRule[] {
  return linesOf(text).flatMap(parseRule);
}

/** As git reads them: without a byte order mark, and without the CR of CR LF. */
function linesOf(text: string): string[] {
  const begin = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
  return text
    .slice(begin)
    .split('\n')
    .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
}

function parseRule(line: string): IgnoreRule[] {
  let pattern = withoutTrailingBlanks(line);
  if (pattern === '' || pattern.startsWith('#') || pattern.length > MAX_PATTERN_BYTES) return [];
  const isNegated = pattern.startsWith('!');
  if (isNegated) pattern = pattern.slice(1);
  const directoriesOnly = pattern.endsWith('/');
  if (directoriesOnly) pattern = pattern.slice(0, -1);
  const isAnchored = pattern.includes('/');
  if (pattern.startsWith('/')) pattern = pattern.slice(1);
  if (pattern === '') return [];
  return [{ glob: compileGlob(pattern), isAnchored, directoriesOnly, isNegated }];
}

function withoutTrailingBlanks(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === ' ' && line[end - 2] !== '\\') end--;
  return line.slice(0, end);
}

/**
 * Whether a path is ignored: the last rule that matches decides, those of deeper directories first.
 *
 * @param scopes those that apply to the path, outermost first
 * @param parts the path from the outermost root; a scope's depth counts from there
 */
export function isIgnored(
  scopes: readonly IgnoreScope[],
  parts: readonly string[],
  isDirectory: boolean,
): boolean {
  const name = parts.slice(-1);
  for (let index = scopes.length - 1; index >= 0; index--) {
    const { rules, depth } = scopes[index] ?? { rules: [], depth: 0 };
    const below = depth === 0 ? parts : parts.slice(depth);
    for (let at = rules.length - 1; at >= 0; at--) {
      const rule = rules[at];
      if (rule === undefined || (rule.directoriesOnly && !isDirectory)) continue;
      if (matchesGlob(rule.glob, rule.isAnchored ? below : name)) return !rule.isNegated;
    }
  }
  return false;
}
