/** Builds an image with buildah(1), which needs no daemon, into an archive that can be imported. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onAbort } from '../../shared/async/on-abort.ts';
import { whenSpawned } from '../../shared/async/when-spawned.ts';
import { SandboxError, systemErrorCode, throwIfCancelled } from '../../shared/errors.ts';
import type { BuildPlan } from './build-plan.ts';

/** The arguments of `buildah build`. A value never becomes an option, since each follows one of its own. */
export function buildArguments(plan: BuildPlan, dockerfile: string, idFile: string): string[] {
  return [
    'build',
    '--layers',
    ...['--format', 'oci'],
    ...['--iidfile', idFile],
    ...['--file', dockerfile],
    ...Object.entries(plan.args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    ...(plan.target === null ? [] : ['--target', plan.target]),
    '--',
    plan.context,
  ];
}

/**
 * Builds, then runs `work` with the archive, which exists until it ends. What buildah says goes to this
 * program's standard error. Its storage keeps the layers, so that the next build is fast.
 *
 * @throws SandboxError `unavailable` without buildah, or if it fails
 */
export async function withBuiltArchive<Result>(
  plan: BuildPlan,
  signal: AbortSignal,
  work: (archive: string) => Promise<Result>,
): Promise<Result> {
  const scratch = await mkdtemp(join(tmpdir(), 'sandbox-mcp-build-'));
  try {
    let { dockerfile } = plan;
    if (dockerfile === null) {
      dockerfile = join(scratch, 'Dockerfile');
      await writeFile(dockerfile, `FROM ${plan.image}\n`);
    }
    const idFile = join(scratch, 'id');
    const archive = join(scratch, 'image.tar');
    await buildah(buildArguments(plan, dockerfile, idFile), signal);
    const id = (await readFile(idFile, 'utf8')).trim().replace(/^sha256:/, '');
    await buildah(['push', '--', id, `oci-archive:${archive}`], signal);
    return await work(archive);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function buildah(args: string[], signal: AbortSignal): Promise<void> {
  throwIfCancelled(signal);
  const child = spawn('buildah', args, { stdio: ['ignore', 2, 2] });
  const closed = once(child, 'close');
  closed.catch(() => {});
  try {
    await whenSpawned(child);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new SandboxError('unavailable', 'buildah is not installed; it builds images without a daemon.', {
      hint: 'Install it (Debian, Ubuntu, Fedora: the package buildah). Without it, set up a sandbox with commands and call sandbox_snapshot with a name.',
      cause: error,
    });
  }
  const release = onAbort(signal, () => child.kill('SIGTERM'));
  await closed;
  release();
  throwIfCancelled(signal);
  if (child.exitCode === 0) return;
  throw new SandboxError('unavailable', `\`buildah ${args[0]}\` failed; its message is above.`, {
    hint: 'Correct the cause and run this again. As an ordinary user buildah needs lines in /etc/subuid and /etc/subgid.',
  });
}
