import { SandboxError } from '../../../src/shared/errors.ts';
import { compileGlob, type Glob, matchesGlob } from '../../../src/shared/text/glob.ts';

const MAX_CHARACTERS = 500;
const MAX_ALTERNATIVES = 64;

/** Whether a path, given as its parts, is wanted. One character per byte. */
export type PathFilter = (parts: readonly string[]) => boolean;

/**
 * A filter for a glob such as `*.ts`, which matches names at any depth, or `src/**\/*.{ts,tsx}`, which matches
 * paths from the top. Without a glob everything is wanted.
 *
 * @param argument what the glob was given as, for messages
 * @param root the absolute path of the top, which a glob may begin with
 * @throws `invalid_argument` for a glob that is too long, or has too many alternatives
 */
export function pathFilter(glob: string | undefined, argument: string, root: string): PathFilter {
  if (glob === undefined) return () => true;
  const globs = alternatives(glob, argument).map((given) => {
    const below = given.startsWith(`${root}/`) ? given.slice(root.length) : given;
    // A directory is named for what is in it.
    const pattern = below.endsWith('/') ? `${below}**` : below;
    const bytes = Buffer.from(pattern.replace(/^\.?\//, '')).toString('latin1');
    return { compiled: compileGlob(bytes), isName: !pattern.includes('/') };
  });
  return (parts) => globs.some(({ compiled, isName }) => matches(compiled, isName, parts));
}

function matches(glob: Glob, isName: boolean, parts: readonly string[]): boolean {
  return matchesGlob(glob, isName ? parts.slice(-1) : parts);
}

/** Expands braces, without nesting. */
function alternatives(glob: string, argument: string): string[] {
  if (glob === '' || glob.length > MAX_CHARACTERS) {
    throw refused(argument, `must have 1 to ${MAX_CHARACTERS} characters`);
  }
  let expanded = [''];
  for (let at = 0; at < glob.length; ) {
    const end = glob[at] === '{' ? glob.indexOf('}', at) : -1;
    const words = end === -1 ? [glob[at] ?? ''] : glob.slice(at + 1, end).split(',');
    if (expanded.length * words.length > MAX_ALTERNATIVES) {
      throw refused(argument, `has more than ${MAX_ALTERNATIVES} alternatives`);
    }
    expanded = expanded.flatMap((start) => words.map((word) => start + word));
    at = end === -1 ? at + 1 : end + 1;
  }
  return expanded;
}

function refused(argument: string, problem: string): SandboxError {
  return new SandboxError('invalid_argument', `\`${argument}\` ${problem}.`, {
    hint: 'Use a glob such as "*.ts" or "src/**/*.{ts,tsx}".',
  });
}
