/** What git's own words mean to the one who asked for the source. */
import { type ErrorCode, SandboxError } from '../../../shared/errors.ts';
import type { Outcome } from './guest-program.ts';
import { loopbackHint } from './loopback-hint.ts';
import { policyRefusal } from './policy-refusal.ts';
import type { SourceLimits } from './source-limits.ts';
import type { GitSource } from './source-types.ts';

interface KnownFailure {
  words: RegExp;
  code: ErrorCode;
  says: string;
  hint: string;
  /** Where credentials were sent. */
  withCredentials?: { says: string; hint: string };
}

/** The first that fits. In the words of git and libcurl under the C locale. */
const KNOWN_FAILURES: KnownFailure[] = [
  {
    words: /could not read (Username|Password)|terminal prompts disabled|Authentication failed|error: 401/,
    code: 'auth',
    says: 'wants a username and a password',
    hint: 'Call sandbox_create again with source.username and source.password; the operator can keep them as a secret.',
    withCredentials: {
      says: 'refuses the credentials that were given',
      hint: 'Correct source.username and source.password: they must be valid and may read this repository. They are sent to the host of source.url alone, so give the address that the repository really has.',
    },
  },
  {
    words: /No space left on device|Disk quota exceeded|File too large/,
    code: 'limit_exceeded',
    says: 'does not fit on the disk that is left',
    hint: 'Ask for less with source.depth: 1, or free space on the disk of the state directory.',
  },
  {
    words:
      /transport '[^']*' not allowed|rotocol "?[\w.+-]+"? (is )?(not supported|disabled|not allowed)|protocol error: only/,
    code: 'permission',
    says: 'leads to something that is neither http nor https',
    hint: 'Give the address that it really has, with http or https.',
  },
  {
    words: /remote ref|not our ref|unadvertised object|did not send all necessary objects/,
    code: 'not_found',
    says: 'does not hand out that revision',
    hint: 'Correct source.revision: a branch, a tag, or a commit that a branch or tag leads to.',
  },
  {
    words: /repository '[^']*' not found|error: 404|not valid: is this a git repository|Repository not found/,
    code: 'not_found',
    says: 'is no repository that can be seen without other credentials',
    hint: 'Correct source.url; a private repository needs source.username and source.password.',
    withCredentials: {
      says: 'is no repository that the given credentials can see',
      hint: 'Correct source.url, or give a source.username and source.password that may read it.',
    },
  },
  {
    words: /error: 403/,
    code: 'permission',
    says: 'refuses',
    hint: 'Correct source.url; where the repository is private, give source.username and source.password.',
    withCredentials: {
      says: 'refuses what the given credentials ask for',
      hint: 'Correct source.url, or give a source.username and source.password that may read it.',
    },
  },
  {
    words: /Operation too slow|timed? ?out/i,
    code: 'timeout',
    says: 'has stopped sending',
    hint: 'Call sandbox_create again later, or with source.depth: 1.',
  },
  {
    words: /Could not resolve host/,
    code: 'unavailable',
    says: 'names a host that cannot be found',
    hint: 'Correct source.url.',
  },
];

function otherMeaning(said: string): Omit<KnownFailure, 'words'> {
  return {
    code: 'unavailable',
    says: 'could not be fetched',
    hint:
      loopbackHint(said) ??
      'Correct source.url, or create an empty sandbox and run git in it to look closer.',
  };
}

/** `refusal` is what the network policy refused last, in words, or null. */
export function gitFailure(
  { url, username, password }: GitSource,
  outcome: Outcome,
  refusal: string | null,
  limits: SourceLimits,
): SandboxError {
  const details = { url, exit_code: outcome.exitCode };
  const said = outcome.stderrLines === '' ? '' : ` git said:\n${outcome.stderrLines}`;
  if (outcome.endedBy === 'timeout') {
    return new SandboxError('timeout', `${url} was not fetched within ${limits.limitMs} ms.${said}`, {
      hint: 'Call sandbox_create again with source.depth: 1.',
      details,
    });
  }
  if (refusal !== null) return policyRefusal(url, refusal, details);
  const meaning =
    KNOWN_FAILURES.find(({ words }) => words.test(outcome.stderrLines)) ?? otherMeaning(outcome.stderrLines);
  const hasCredentials = username !== undefined || password !== undefined;
  const { says, hint } = (hasCredentials ? meaning.withCredentials : undefined) ?? meaning;
  return new SandboxError(meaning.code, `${url} ${says}.${said}`, { hint, details });
}
