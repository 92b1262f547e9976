/** A git repository as the source of a sandbox, fetched by the sandbox's own git. */
import { SandboxError } from '../../../shared/errors.ts';
import { gitFailure } from './git-failure.ts';
import { type Head, headOf, refsOf } from './git-refs.ts';
import { type GuestContext, isMissing, missingProgram, type Outcome, runInGuest } from './guest-program.ts';
import type { GitSource } from './source-types.ts';

const ALL_BRANCHES = '+refs/heads/*:refs/remotes/origin/*';

/** No host or user configuration and no prompts: missing credentials fail. */
const ENVIRONMENT: Record<string, string> = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: '',
  SSH_ASKPASS: '',
  // Applies to redirects too.
  GIT_ALLOW_PROTOCOL: 'http:https',
  LC_ALL: 'C',
};

/** Fetches a repository into the working directory, with its full history unless `depth` limits it. */
export async function fetchGit(inside: GuestContext, source: GitSource, signal: AbortSignal): Promise<void> {
  inside.report?.(`Fetching ${source.url}`);
  const git = new Git(inside, source, signal);
  await git.must('init', '--quiet', '--template=');
  await git.must('remote', 'add', 'origin', source.url);
  const remote = refsOf((await git.must('ls-remote', '--symref', 'origin', ...patterns(source))).stdout);
  const head = headOf(remote, source.revision ?? null);
  if (head === null) {
    if (source.revision === undefined) return;
    throw noRevision(source);
  }
  await fetchHead(git, source, head);
  await checkOut(git, source, head);
}

/** The ref patterns to list: the default branch, and the revision as any kind of ref. */
function patterns({ revision }: GitSource): string[] {
  if (revision === undefined) return ['HEAD'];
  return ['HEAD', `refs/heads/${revision}`, `refs/tags/${revision}`, revision];
}

async function fetchHead(git: Git, { depth }: GitSource, { kind, name }: Head): Promise<void> {
  const shallow = depth === undefined ? [] : [`--depth=${depth}`];
  const fetch = (...what: string[]): Promise<Outcome> => git.must('fetch', ...FETCH, ...what);
  // Resolving an abbreviated commit needs the full history.
  const whole = depth === undefined || kind === 'prefix';
  if (whole) await fetch('--tags', 'origin', ALL_BRANCHES);
  if (kind === 'ref') await fetch(...shallow, 'origin', `+${name}:${RESULT}`);
  if (kind === 'commit' && !(whole && (await has(git, name)))) await fetch(...shallow, 'origin', name);
  if (whole) return;
  if (kind === 'branch') await fetch(...shallow, 'origin', `+refs/heads/${name}:refs/remotes/origin/${name}`);
  if (kind === 'tag') await fetch(...shallow, 'origin', `+refs/tags/${name}:refs/tags/${name}`);
}

const FETCH = ['--progress', '--no-recurse-submodules'];
/** Local ref for one that is neither a branch nor a tag. */
const RESULT = 'refs/remotes/origin-ref';

async function checkOut(git: Git, source: GitSource, head: Head): Promise<void> {
  const detached = ['checkout', '--progress', '--detach'];
  switch (head.kind) {
    case 'branch': {
      const upstream = `refs/remotes/origin/${head.name}`;
      await git.must('checkout', '--progress', '-B', head.name, '--track', upstream);
      return;
    }
    case 'tag':
      await git.must(...detached, `refs/tags/${head.name}`);
      return;
    case 'ref':
      await git.must(...detached, RESULT);
      return;
    default: {
      const parsed = await git.run(
        'rev-parse',
        '--verify',
        '--quiet',
        '--end-of-options',
        `${head.name}^{commit}`,
      );
      const commit = parsed.stdout.trim();
      if (parsed.exitCode !== 0 || commit === '') throw noRevision(source);
      await git.must(...detached, commit);
    }
  }
}

async function has(git: Git, commit: string): Promise<boolean> {
  return (await git.run('cat-file', '-e', `${commit}^{commit}`)).exitCode === 0;
}

function noRevision({ url, revision }: GitSource): SandboxError {
  return new SandboxError(
    'not_found',
    `${url} has no branch, tag or commit ${JSON.stringify(revision ?? 'HEAD')}.`,
    {
      hint: 'Correct source.revision (a branch, a tag, or a commit reachable from one) and call sandbox_create again.',
      details: { url, revision: revision ?? null },
    },
  );
}

/** Runs the sandbox's git with the options common to all calls. */
class Git {
  readonly #inside: GuestContext;
  readonly #source: GitSource;
  readonly #signal: AbortSignal;
  readonly #settings: string[];

  constructor(inside: GuestContext, source: GitSource, signal: AbortSignal) {
    this.#inside = inside;
    this.#source = source;
    this.#signal = signal;
    const settings: Record<string, string> = {
      'http.followRedirects': 'initial',
      // Abort when the transfer stays below this many bytes per second for this many seconds.
      'http.lowSpeedLimit': '1',
      'http.lowSpeedTime': String(Math.max(1, Math.ceil(inside.limits.stallMs / 1_000))),
      'credential.helper': '',
      'core.askPass': '',
      'core.hooksPath': '/dev/null',
      'gc.auto': '0',
      'advice.detachedHead': 'false',
      'init.defaultBranch': 'main',
      'submodule.recurse': 'false',
    };
    this.#settings = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  }

  /** @throws `unsupported` if git is not installed */
  async run(...args: string[]): Promise<Outcome> {
    const program = {
      cmd: 'git',
      args: [...this.#settings, ...args],
      env: ENVIRONMENT,
      progress: (line: string) => `git: ${line}`,
    };
    const outcome = await runInGuest(this.#inside, program, this.#signal);
    if (isMissing(outcome)) throw missingProgram('git', 'serve the repository as a tarball');
    return outcome;
  }

  /** @throws the translated error message of git */
  async must(...args: string[]): Promise<Outcome> {
    const outcome = await this.run(...args);
    if (outcome.exitCode === 0) return outcome;
    throw gitFailure(this.#source, outcome, await this.#inside.refusal(), this.#inside.limits);
  }
}
