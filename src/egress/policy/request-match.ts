/** Which requests a header rule applies to. */
import { SandboxError } from '../../shared/errors.ts';
import type { NetworkRule } from '../../shared/policy-schema.ts';

export interface RequestMatch {
  /** Null: all methods. */
  readonly methods: readonly string[] | null;
  /** Null: all paths. */
  readonly pathPrefix: string | null;
}

const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;
const MAX_PREFIX = 2_048;
/** Servers resolve these, but not all alike: the compared path could differ from the one that is served. */
const AMBIGUOUS = /\/\.{1,2}(\/|;|$)|\/\/|\\|;|%(2e|2f|5c|25|00)/i;

/** Parses a rule's `match`. @throws `invalid_argument` naming the invalid value */
export function compileMatch(match: NetworkRule['match'], domain: string): RequestMatch {
  const methods = match?.methods?.map((method) => method.toUpperCase()) ?? null;
  const pathPrefix = match?.pathPrefix ?? null;
  if (methods !== null && (methods.length === 0 || !methods.every((method) => METHOD.test(method)))) {
    throw new SandboxError(
      'invalid_argument',
      `network_policy.rules: match.methods for ${domain} is not valid.`,
      {
        hint: 'Use methods such as ["GET", "POST"], or leave methods out to match all.',
      },
    );
  }
  if (pathPrefix !== null && !isPrefix(pathPrefix)) {
    const shown = JSON.stringify(pathPrefix.slice(0, 100));
    throw new SandboxError(
      'invalid_argument',
      `network_policy.rules: match.path_prefix ${shown} for ${domain} matches no request.`,
      {
        hint: 'Use the beginning of a path as it is sent, such as /v1/, without a query, `..`, `//` or `;`.',
      },
    );
  }
  return { methods, pathPrefix };
}

function isPrefix(text: string): boolean {
  return (
    /^\/[\x21-\x7e]*$/.test(text) && !/[?#]/.test(text) && text.length <= MAX_PREFIX && !AMBIGUOUS.test(text)
  );
}

/** True if a path begins with the prefix, whichever way a server may resolve it. */
export function matchesPrefix(prefix: string | null, path: string): boolean {
  if (prefix === null) return true;
  // Some servers end the path there, as in a URL; others treat it as part of the path.
  if (path.includes('#')) return false;
  if (prefix === '/') return true;
  const bare = path.split('?', 1)[0] ?? '';
  return bare.startsWith(prefix) && !AMBIGUOUS.test(bare);
}
