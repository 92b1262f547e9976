/** Translates git's error messages for the caller. */
import { type ErrorCode, SandboxError } from '../../../shared/errors.ts';
import type { Outcome } from './guest-program.ts';
import { loopbackHint } from './loopback-hint.ts';
import { policyRefusal } from './policy-refusal.ts';
import type { SourceLimits } from './source-limits.ts';
import type { GitSource } from './source-types.ts';

interface KnownFailure {
  pattern: RegExp;
  code: ErrorCode;
  says: string;
  hint: string;
  /** Used if credentials were sent. */
  withCredentials?: { says: string; hint: string };
}

/** The first match wins. Messages of git and libcurl in the C locale. */
const KNOWN_FAILURES: KnownFailure[] = [
  {
    pattern: /could not read (Username|Password)|terminal prompts disabled|Authentication failed|error: 401/,
    code: 'auth',
    says: 'requires a username and a password',
    hint: 'Call sandbox_create again with source.username and source.password; the operator can keep them as a secret.',
    withCredentials: {
      says: 'rejected the credentials',
      hint: 'Correct source.username and source.password: they must be valid and allowed to read this repository. They are sent to the host of source.url only, so use the repository’s final URL.',
    },
  },
  {
    pattern: /No space left on device|Disk quota exceeded|File too large/,
    code: 'limit_exceeded',
    says: 'does not fit on the disk',
    hint: 'Fetch less with source.depth: 1, or free space on the disk of the state directory.',
  },
  {
    pattern:
      /transport '[^']*' not allowed|rotocol "?[\w.+-]+"? (is )?(not supported|disabled|not allowed)|protocol error: only/,
    code: 'permission',
    says: 'redirects to something other than http or https',
    hint: 'Use its final URL, with http or https.',
  },
  {
    pattern: /remote ref|not our ref|unadvertised object|did not send all necessary objects/,
    code: 'not_found',
    says: 'does not serve that revision',
    hint: 'Correct source.revision: a branch, a tag, or a commit reachable from one.',
  },
  {
    pattern:
      /repository '[^']*' not found|error: 404|not valid: is this a git repository|Repository not found/,
    code: 'not_found',
    says: 'does not exist or needs other credentials',
    hint: 'Correct source.url; a private repository needs source.username and source.password.',
    withCredentials: {
      says: 'does not exist or is not visible with these credentials',
      hint: 'Correct source.url, or use a source.username and source.password that can read it.',
    },
  },
  {
    pattern: /error: 403/,
    code: 'permission',
    says: 'refuses',
    hint: 'Correct source.url; for a private repository set source.username and source.password.',
    withCredentials: {
      says: 'denies access with these credentials',
      hint: 'Correct source.url, or use a source.username and source.password that can read it.',
    },
  },
  {
    pattern: /Operation too slow|timed? ?out/i,
    code: 'timeout',
    says: 'stopped sending data',
    hint: 'Call sandbox_create again later, or with source.depth: 1.',
  },
  {
    pattern: /Could not resolve host/,
    code: 'unavailable',
    says: 'has a host name that cannot be resolved',
    hint: 'Correct source.url.',
  },
];

function otherMeaning(said: string): Omit<KnownFailure, 'pattern'> {
  return {
    code: 'unavailable',
    says: 'could not be fetched',
    hint:
      loopbackHint(said) ??
      'Correct source.url, or create an empty sandbox and run git in it to investigate.',
  };
}

/** `refusal` describes what the network policy refused last, or is null. */
export function gitFailure(
  { url, username, password }: GitSource,
  outcome: Outcome,
  refusal: string | null,
  limits: SourceLimits,
): SandboxError {
  const details = { url, exit_code: outcome.exitCode };
  const said = outcome.stderrLines === '' ? '' : ` git said:\n${outcome.stderrLines}`;
  if (outcome.endedBy === 'timeout') {
    return new SandboxError('timeout', `Fetching ${url} took longer than ${limits.limitMs} ms.${said}`, {
      hint: 'Call sandbox_create again with source.depth: 1.',
      details,
    });
  }
  if (refusal !== null) return policyRefusal(url, refusal, details);
  const meaning =
    KNOWN_FAILURES.find(({ pattern }) => pattern.test(outcome.stderrLines)) ??
    otherMeaning(outcome.stderrLines);
  const hasCredentials = username !== undefined || password !== undefined;
  const { says, hint } = (hasCredentials ? meaning.withCredentials : undefined) ?? meaning;
  return new SandboxError(meaning.code, `${url} ${says}.${said}`, { hint, details });
}
