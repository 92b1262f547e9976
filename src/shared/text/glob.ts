/**
 * Glob patterns on byte strings (one character per byte), as .gitignore has them. Matching backtracks to the
 * last star only, so its time is at most the product of both lengths: patterns come from sandboxes and models.
 */

/** What a single character of a name is compared with. */
type Token = 'star' | 'any' | { bytes: Set<number>; negated: boolean } | number;

/** The parts of a pattern between slashes; null is `**`. */
export type Glob = readonly (readonly Token[] | null)[];

const SLASH = '/';

/** Compiles a pattern without braces. */
export function compileGlob(pattern: string): Glob {
  return pattern.split(SLASH).map((part) => (part === '**' ? null : tokensOf(part)));
}

/** Whether the pattern matches the whole path, given as its parts. */
export function matchesGlob(glob: Glob, parts: readonly string[]): boolean {
  let at = 0;
  let part = 0;
  let star = -1;
  let resume = 0;
  while (part < parts.length) {
    const tokens = glob[at];
    if (tokens === null) {
      star = at++;
      resume = part;
    } else if (tokens !== undefined && matchesName(tokens, parts[part] ?? '')) {
      at++;
      part++;
    } else if (star === -1) return false;
    else {
      at = star + 1;
      part = ++resume;
    }
  }
  // A trailing `**` stands for what is inside a directory, not for the directory itself.
  const rest = glob.slice(at);
  return rest.every((tokens) => tokens === null) && (rest.length === 0 || glob.length === rest.length);
}

function matchesName(tokens: readonly Token[], name: string): boolean {
  let at = 0;
  let index = 0;
  let star = -1;
  let resume = 0;
  while (index < name.length) {
    const token = tokens[at];
    if (token === 'star') {
      star = at++;
      resume = index;
    } else if (token !== undefined && matchesByte(token, name.charCodeAt(index))) {
      at++;
      index++;
    } else if (star === -1) return false;
    else {
      at = star + 1;
      index = ++resume;
    }
  }
  while (tokens[at] === 'star') at++;
  return at === tokens.length;
}

function matchesByte(token: Token, byte: number): boolean {
  if (typeof token === 'number') return token === byte;
  if (token === 'any') return true;
  return token !== 'star' && token.bytes.has(byte) !== token.negated;
}

function tokensOf(part: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < part.length; at++) {
    const character = part[at];
    if (character === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (character === '?') tokens.push('any');
    else if (character === '[') {
      const set = setAt(part, at);
      tokens.push(set?.token ?? part.charCodeAt(at));
      at = set?.end ?? at;
    } else {
      if (character === '\\' && at + 1 < part.length) at++;
      tokens.push(part.charCodeAt(at));
    }
  }
  return tokens;
}

/** A set such as `[a-z]` or `[!0-9]`; null for a bracket without an end, which stands for itself. */
function setAt(part: string, start: number): { token: Token; end: number } | null {
  let at = start + 1;
  const negated = part[at] === '!' || part[at] === '^';
  if (negated) at++;
  const bytes = new Set<number>();
  for (let first = true; at < part.length; first = false) {
    if (part[at] === ']' && !first) return { token: { bytes, negated }, end: at };
    if (part[at] === '\\' && at + 1 < part.length) at++;
    const low = part.charCodeAt(at);
    const isRange = part[at + 1] === '-' && part[at + 2] !== undefined && part[at + 2] !== ']';
    const high = isRange ? part.charCodeAt(at + 2) : low;
    for (let byte = low; byte <= high; byte++) bytes.add(byte);
    at += isRange ? 3 : 1;
  }
  return null;
}
