import { RE2JS, RE2JSException } from 're2js';
import { SandboxError } from '../errors.ts';

const MAX_CHARACTERS = 1_000;
/**
 * Of a compiled pattern. At this size a text of 16 KiB, whose match cannot be interrupted, takes 0.1 to 0.2
 * s.
 */
const MAX_STEPS = 300;

/**
 * Compiles an RE2 pattern to a predicate that is true for texts in which it matches somewhere. Matching takes
 * linear time for any pattern and text.
 *
 * @param argument what the pattern was given as, for messages
 * @throws `invalid_argument` for a pattern that RE2 does not accept, or one that is too large
 */
export function linearPattern(pattern: string, argument: string): (text: string) => boolean {
  const expression = compileLinear(pattern, argument);
  return (text) => expression.test(text);
}

/** The same, as an expression. */
export function compileLinear(pattern: string, argument: string, flags = 0): RE2JS {
  if (pattern.length > MAX_CHARACTERS) {
    throw new SandboxError(
      'invalid_argument',
      `\`${argument}\` has ${pattern.length} characters; the maximum is ${MAX_CHARACTERS}.`,
    );
  }
  try {
    const expression = RE2JS.compile(pattern, flags);
    const steps = expression.programSize();
    if (steps > MAX_STEPS) throw tooLarge(argument, steps);
    return expression;
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new SandboxError(
      'invalid_argument',
      `Invalid \`${argument}\` pattern ${JSON.stringify(pattern)}: ${error.message}.`,
      {
        hint: 'Use RE2 syntax (no backreferences, no lookaround); escape special characters with \\.',
      },
    );
  }
}

function tooLarge(argument: string, steps: number): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `The \`${argument}\` pattern compiles to ${steps} steps; the maximum is ${MAX_STEPS}.`,
    { hint: 'Use fewer alternatives, and .* or + instead of large counts such as {0,500}.' },
  );
}
