import picomatch from 'picomatch';
import { SandboxError } from '../../src/shared/errors.ts';
import { trimTrailingSlashes } from '../../src/shared/text/text.ts';

const MAX_PATTERNS = 100;
const MAX_PATTERN_CHARACTERS = 200;
/** Backtracking grows with their number to the power of a name's length. */
const MAX_WILDCARDS_IN_NAME = 3;
const MAX_GLOBSTARS = 3;

/**
 * Returns a predicate for the paths of a tree to exclude. A pattern with a slash is matched against the path
 * from the root of the tree, one without against the name at any depth, as in a .gitignore.
 *
 * @throws `invalid_argument` for patterns that are too many, too long, negated or could take very long to
 *   match
 */
export function excluder(patterns: readonly string[]): (path: string) => boolean {
  if (patterns.length > MAX_PATTERNS) {
    throw refused(`has ${patterns.length} patterns; the maximum is ${MAX_PATTERNS}`);
  }
  const tests = patterns.map((pattern) => {
    requireCheap(pattern);
    const plain = trimTrailingSlashes(pattern.replace(/^\.?\//, ''));
    requirePositive(plain, pattern);
    const matches = picomatch(plain, { dot: true, noextglob: true, nonegate: true });
    return plain.includes('/') || pattern.startsWith('/')
      ? (path: string) => matches(path)
      : (path: string) => matches(path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((matches) => matches(path));
}

function requireCheap(pattern: string): void {
  const shown = JSON.stringify(pattern.slice(0, MAX_PATTERN_CHARACTERS));
  if (pattern === '' || pattern.length > MAX_PATTERN_CHARACTERS) {
    throw refused(`${shown} must have 1 to ${MAX_PATTERN_CHARACTERS} characters`);
  }
  const names = pattern.split('/');
  const globstars = names.filter((name) => name.includes('**')).length;
  const costly = names.some(
    (name) => (name.replace(/\*+/g, '*').match(/[*{[]/g) ?? []).length > MAX_WILDCARDS_IN_NAME,
  );
  if (costly || globstars > MAX_GLOBSTARS) throw refused(`${shown} has too many wildcards`);
}

/** A negated pattern would match everything else, and exclude all but the file it names. */
function requirePositive(plain: string, pattern: string): void {
  if (!plain.startsWith('!')) return;
  throw refused(
    `${JSON.stringify(pattern)} starts with "!"; negated patterns are not supported`,
    'List only what to exclude, or call sandbox_upload_file for each part that you need.',
  );
}

function refused(
  problem: string,
  hint = 'Use simple globs such as "node_modules", "*.log" or "dist/**".',
): SandboxError {
  return new SandboxError('invalid_argument', `\`exclude\` ${problem}.`, {
    hint,
  });
}
