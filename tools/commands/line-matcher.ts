import { RE2JS, RE2JSException } from 're2js';
import { SandboxError } from '../../src/shared/errors.ts';

const MAX_PATTERN_CHARACTERS = 1_000;
/** Of a compiled pattern. At this size a 16 KiB line, whose match cannot be interrupted, takes 0.1 to 0.2 s. */
const MAX_PATTERN_STEPS = 300;

/**
 * Compiles an RE2 pattern to a predicate over lines. Matching takes linear time for any pattern and line.
 *
 * @throws `invalid_argument` for a pattern that RE2 does not accept, or one that is too large
 */
export function lineMatcher(pattern: string): (text: string) => boolean {
  if (pattern.length > MAX_PATTERN_CHARACTERS) {
    throw new SandboxError(
      'invalid_argument',
      `\`grep\` has ${pattern.length} characters; the maximum is ${MAX_PATTERN_CHARACTERS}.`,
    );
  }
  try {
    const expression = RE2JS.compile(pattern);
    const steps = expression.programSize();
    if (steps > MAX_PATTERN_STEPS) throw tooLarge(steps);
    return (text) => expression.matcher(text).find();
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new SandboxError(
      'invalid_argument',
      `Invalid \`grep\` pattern ${JSON.stringify(pattern)}: ${error.message}.`,
      {
        hint: 'Use RE2 syntax (no backreferences, no lookaround); escape special characters with \\.',
      },
    );
  }
}

function tooLarge(steps: number): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `The \`grep\` pattern compiles to ${steps} steps; the maximum is ${MAX_PATTERN_STEPS}.`,
    { hint: 'Use fewer alternatives, and .* or + instead of large counts such as {0,500}.' },
  );
}
