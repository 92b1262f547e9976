/** Sources that Vercel's service fetches before a sandbox is ready: checks in advance, and errors. */
import { BlockList, isIPv6 } from 'node:net';
import { normalizeName } from '../../../shared/domains.ts';
import { type ErrorCode, SandboxError } from '../../../shared/errors.ts';
import { sourceCredentials, withoutCredentials } from '../../../shared/source-credentials.ts';
import type { CreateSandbox, NetworkPolicy, SandboxSource } from '../../engine.ts';
import type { VercelContext } from '../context.ts';

/** What is fetched over the network; a snapshot is not. */
export type FetchedSource = Exclude<SandboxSource, { type: 'snapshot' }>;

/** Null if the sandbox starts empty or from a snapshot. */
export function fetchedSource({ source }: CreateSandbox): FetchedSource | null {
  return source === null || source.type === 'snapshot' ? null : source;
}

/**
 * Rejects a source that the sandbox's own policy would not let it fetch, as on every engine; the service
 * would fetch it.
 *
 * @throws `permission`
 */
export function checkSource(
  context: Pick<VercelContext, 'readPolicy'>,
  { url }: FetchedSource,
  request: CreateSandbox,
): void {
  const { networkPolicy } = request;
  const { hostname } = new URL(url);
  const name = normalizeName(hostname);
  const address = hostname.replace(/^\[|\]$/g, '');
  const decision =
    name === null
      ? evaluateAddress(networkPolicy, address)
      : context.readPolicy(networkPolicy).evaluateName(name);
  if (decision.allowed) return;
  throw new SandboxError(
    'permission',
    `Cannot fetch ${url}: the network policy refuses ${hostname} (${decision.rule}).`,
    {
      hint: 'Call sandbox_create with a network_policy that allows that domain; restrict it afterwards with sandbox_update_network_policy.',
      details: { url },
    },
  );
}

/** Decides a URL with an address by the subnets only. The addresses of names are not known here. */
function evaluateAddress(
  { mode, subnets }: NetworkPolicy,
  address: string,
): { allowed: boolean; rule: string } {
  if (mode !== 'custom') return { allowed: mode === 'allow-all', rule: `mode ${mode}` };
  if (holds(subnets?.deny, address)) return { allowed: false, rule: 'subnets.deny' };
  return { allowed: holds(subnets?.allow, address), rule: `${address} is not in an allowed subnet` };
}

function holds(ranges: readonly string[] = [], address: string): boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [base = '', bits] = range.split('/');
    const family = isIPv6(base) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(base, family);
    else list.addSubnet(base, Number(bits), family);
  }
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

interface Meaning {
  pattern: RegExp;
  code: ErrorCode;
  says: string;
  hint: string;
}

/**
 * The first match wins. The service's messages are not documented; these are git's, curl's and HTTP's own.
 */
const MEANINGS: readonly Meaning[] = [
  {
    pattern: /could not read (Username|Password)|terminal prompts disabled|Authentication failed|\b401\b/i,
    code: 'auth',
    says: 'requires a username and a password, or rejected the ones given',
    hint: 'Call sandbox_create again with source.username and source.password; the operator can keep them as a secret.',
  },
  {
    pattern: /remote ref|not our ref|pathspec|unknown revision|did not match any/i,
    code: 'not_found',
    says: 'does not serve that revision',
    hint: 'Correct source.revision: a branch, a tag, or a commit reachable from one.',
  },
  {
    pattern:
      /transport '[^']*' not allowed|protocol "?[\w.+-]+"? (is )?(not supported|disabled|not allowed)/i,
    code: 'permission',
    says: 'redirects to something other than http or https',
    hint: 'Use its final URL, with http or https.',
  },
  {
    pattern: /\b403\b/,
    code: 'permission',
    says: 'refuses',
    hint: 'Correct source.url or the credentials.',
  },
  {
    pattern: /not found|\b404\b|does not exist/i,
    code: 'not_found',
    says: 'does not exist or needs other credentials',
    hint: 'Correct source.url; a private repository needs source.username and source.password.',
  },
  {
    pattern: /\bunpack|\btar\b|gzip|archive format/i,
    code: 'invalid_argument',
    says: 'is not a tarball that Vercel can unpack',
    hint: 'Use the URL of a .tar.gz file, not of a web page about it.',
  },
];

const OTHER: Omit<Meaning, 'pattern'> = {
  code: 'unavailable',
  says: 'could not be fetched',
  hint: 'Correct source.url, or create an empty sandbox and fetch it there to investigate.',
};

/** Messages about a source, not about another part of the request. */
const ABOUT_SOURCE =
  /source|clone|\bgit\b|download|fetch|repositor|tarball|archive|revision|unpack|remote ref|transport '/i;

/** The error for a refused creation that named a source; the failure itself if it is about something else. */
export function sourceFailure(
  { secrets }: Pick<VercelContext, 'secrets'>,
  source: FetchedSource,
  failure: SandboxError,
  message: string,
): SandboxError {
  const aboutSource = ABOUT_SOURCE.test(message) || message.includes(source.url);
  if (failure.code !== 'invalid_argument' || !aboutSource) return failure;
  const said = withoutCredentials(message, sourceCredentials(source, secrets));
  const { code, says, hint } = MEANINGS.find((meaning) => meaning.pattern.test(said)) ?? OTHER;
  return new SandboxError(code, `${source.url} ${says}. Vercel said:\n${said}`, {
    hint,
    details: { url: source.url },
  });
}

/** The sandbox's timeout includes the fetch of its source. */
export function tooSlow({ timeoutMs }: CreateSandbox): SandboxError {
  return new SandboxError(
    'timeout',
    `The sandbox's timeout of ${timeoutMs} ms expired before its source was fetched.`,
    {
      hint: 'Call sandbox_create with a longer timeout_ms, or a smaller source (git: depth 1).',
      details: { timeout_ms: timeoutMs },
    },
  );
}
