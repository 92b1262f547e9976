import { RE2JS } from 're2js';
import { z } from 'zod';
import { SandboxError } from '../../../src/shared/errors.ts';
import { compileLinear } from '../../../src/shared/text/linear-pattern.ts';

/** The most that an engine takes. */
const MAX_LITERALS = 16;
/** Letters that also match a non-ASCII letter when case is ignored: the Kelvin sign and the long s. */
const FOLDED_BEYOND_ASCII = /[^\x20-\x7e]|[kKsS]/;
/** Kinds of the conditions that RE2JS derives from a pattern. */
const [EXACT, AND, OR] = [1, 2, 3];

/** A pattern for single lines. */
export interface LinePattern {
  matches(line: string): boolean;
  /** Where the first match starts. */
  indexIn(line: string): number;
  ignoreCase: boolean;
  /**
   * Byte strings (one character per byte) of which every matching line contains one; empty if nothing is known.
   */
  literals: string[];
}

/** @throws `invalid_argument` for a pattern that RE2 does not accept, is too large, or matches no single line */
export function linePattern(pattern: string, ignoreCase: boolean): LinePattern {
  const expression = compileLinear(pattern, 'pattern', ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
  // Without the flag, since nothing is derived from letters that match in either case.
  const exact = ignoreCase ? compileLinear(pattern, 'pattern') : expression;
  const parsed = condition.safeParse(exact.re2().prefilter);
  if (parsed.success && needsLineEnd(parsed.data)) throw matchesNoLine();
  const literals = parsed.success ? (literalsOf(parsed.data) ?? []) : [];
  return {
    matches: (line) => expression.test(line),
    indexIn(line) {
      const matcher = expression.matcher(line);
      return matcher.find() ? matcher.start() : 0;
    },
    ignoreCase,
    literals: byteLiterals(literals, ignoreCase),
  };
}

function matchesNoLine(): SandboxError {
  return new SandboxError('invalid_argument', '`pattern` needs a line end, and each line is matched alone.', {
    hint: 'Search for a part that is on one line, with context.',
  });
}

/** RE2JS has no types for it. */
const condition = z.object({
  type: z.number(),
  str: z.string(),
  get subs() {
    return z.array(condition);
  },
});

type Condition = z.output<typeof condition>;

function needsLineEnd({ type, str, subs }: Condition): boolean {
  if (type === EXACT) return str.includes('\n');
  if (type === AND) return subs.some(needsLineEnd);
  return type === OR && subs.length > 0 && subs.every(needsLineEnd);
}

/** Texts of which every match contains one. Null if there are none. */
function literalsOf({ type, str, subs }: Condition): string[] | null {
  if (type === EXACT) return [str];
  const parts = subs.map(literalsOf);
  if (type === OR) return parts.includes(null) ? null : parts.flatMap((part) => part ?? []);
  if (type !== AND) return null;
  const known = parts.filter((part) => part !== null);
  return known.sort((a, b) => shortest(b) - shortest(a))[0] ?? null;
}

function shortest(literals: readonly string[]): number {
  return Math.min(...literals.map(({ length }) => length));
}

function byteLiterals(literals: readonly string[], ignoreCase: boolean): string[] {
  const parts = literals.map((literal) => (ignoreCase ? longestPart(literal) : literal));
  const isUsable = parts.every((part) => part !== '' && !/[\0\n]/.test(part));
  if (!isUsable || parts.length > MAX_LITERALS) return [];
  return parts.map((part) => Buffer.from(part).toString('latin1'));
}

function longestPart(literal: string): string {
  return literal.split(FOLDED_BEYOND_ASCII).reduce((a, b) => (b.length > a.length ? b : a), '');
}
