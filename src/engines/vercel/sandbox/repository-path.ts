/**
 * Where the platform cloned a git source: some base images get it in the working directory, others in one of
 * its own.
 */
import { posix } from 'node:path';
import type { CreateSandbox, Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { runScript } from '../guest/run-script.ts';

const LOCATE_MS = 30_000;
/** `$1` is the working directory, `$2` the name of the repository. */
const SCRIPT = `[[ ! -e $1/.git && -e $1/$2/.git ]]`;

/**
 * Null if the working directory itself holds the repository, or if the sandbox cannot be asked. Never
 * rejects.
 */
async function repositoryPath(
  { cloud, log }: VercelContext,
  { sandboxId, cwd }: Sandbox,
  url: string,
): Promise<string | null> {
  const name = posix.basename(new URL(url).pathname, '.git');
  const signal = AbortSignal.timeout(LOCATE_MS);
  try {
    const session = await cloud.session(sandboxId, signal);
    const { exitCode } = await runScript(session, SCRIPT, [cwd, name], { signal });
    return exitCode === 0 ? posix.join(cwd, name) : null;
  } catch (error) {
    log.warn({ sandbox_id: sandboxId, err: error }, 'cannot determine the directory of a repository');
    return null;
  }
}

/** The sandbox with the place of its git source. */
export async function located(
  context: VercelContext,
  view: Sandbox,
  { source }: CreateSandbox,
): Promise<Sandbox> {
  if (source?.type !== 'git') return view;
  return { ...view, sourcePath: await repositoryPath(context, view, source.url) };
}
