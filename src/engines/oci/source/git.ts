/** A git repository as the source of a sandbox, fetched by the sandbox's own git. */
import { SandboxError } from '../../../shared/errors.ts';
import { gitFailure } from './git-failure.ts';
import { type Head, headOf, refsOf } from './git-refs.ts';
import { type GuestContext, isMissing, missingProgram, type Outcome, runInGuest } from './guest-program.ts';
import type { GitSource } from './source-types.ts';

const ALL_BRANCHES = '+refs/heads/*:refs/remotes/origin/*';

/** Nothing of the host's or the user's configuration, and nobody to ask: what is not given is refused. */
const ENVIRONMENT: Record<string, string> = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: '',
  SSH_ASKPASS: '',
  // Also where a server redirects to.
  GIT_ALLOW_PROTOCOL: 'http:https',
  LC_ALL: 'C',
};

/** Fetches a repository into the working directory, with its whole history unless `depth` says less. */
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

/** What is asked of the remote: its default branch, and the revision wherever such a name can be. */
function patterns({ revision }: GitSource): string[] {
  if (revision === undefined) return ['HEAD'];
  return ['HEAD', `refs/heads/${revision}`, `refs/tags/${revision}`, revision];
}

async function fetchHead(git: Git, { depth }: GitSource, { kind, name }: Head): Promise<void> {
  const shallow = depth === undefined ? [] : [`--depth=${depth}`];
  const fetch = (...what: string[]): Promise<Outcome> => git.must('fetch', ...FETCH, ...what);
  // Only the whole history can tell what the first digits of a commit stand for.
  const whole = depth === undefined || kind === 'prefix';
  if (whole) await fetch('--tags', 'origin', ALL_BRANCHES);
  if (kind === 'ref') await fetch(...shallow, 'origin', `+${name}:${RESULT}`);
  if (kind === 'commit' && !(whole && (await has(git, name)))) await fetch(...shallow, 'origin', name);
  if (whole) return;
  if (kind === 'branch') await fetch(...shallow, 'origin', `+refs/heads/${name}:refs/remotes/origin/${name}`);
  if (kind === 'tag') await fetch(...shallow, 'origin', `+refs/tags/${name}:refs/tags/${name}`);
}

const FETCH = ['--progress', '--no-recurse-submodules'];
/** Where a ref that is neither branch nor tag is kept. */
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
      hint: 'Correct source.revision (a branch, a tag, or a commit that a branch or tag leads to) and call sandbox_create again.',
      details: { url, revision: revision ?? null },
    },
  );
}

/** The sandbox's git, with what holds for every call of it. */
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
      // Bytes a second, and for how many seconds fewer than that are borne.
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

  /** @throws `unsupported` where there is no git */
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

  /** @throws what the program's own words mean */
  async must(...args: string[]): Promise<Outcome> {
    const outcome = await this.run(...args);
    if (outcome.exitCode === 0) return outcome;
    throw gitFailure(this.#source, outcome, await this.#inside.refusal(), this.#inside.limits);
  }
}
