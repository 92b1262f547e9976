/** Builds an image into an archive that can be imported. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onAbort } from '../../shared/async/on-abort.ts';
import { whenSpawned } from '../../shared/async/when-spawned.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { BuildPlan } from './build-plan.ts';
import { type Builder, findBuilder } from './builders.ts';

/**
 * Builds, then runs `work` with the archive, which exists until it ends. What the builder says goes to this
 * program's standard error. Its storage keeps the layers, so that the next build is fast.
 *
 * @param searchPath the directories of programs
 * @throws SandboxError `unavailable` without a builder, or if it fails
 */
export async function withBuiltArchive<Result>(
  plan: BuildPlan,
  searchPath: readonly string[],
  signal: AbortSignal,
  work: (archive: string) => Promise<Result>,
): Promise<Result> {
  const builder = await findBuilder(searchPath);
  const scratch = await mkdtemp(join(tmpdir(), 'sandbox-mcp-build-'));
  try {
    let { dockerfile } = plan;
    if (dockerfile === null) {
      dockerfile = join(scratch, 'Dockerfile');
      await writeFile(dockerfile, `FROM ${plan.image}\n`);
    }
    const idFile = join(scratch, 'id');
    const archive = join(scratch, 'image.tar');
    await runBuilder(builder, builder.build(plan, dockerfile, idFile), signal);
    const id = (await readFile(idFile, 'utf8')).trim();
    await runBuilder(builder, builder.save(id, archive), signal);
    return await work(archive);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function runBuilder(
  { program, command, hint }: Builder,
  args: string[],
  signal: AbortSignal,
): Promise<void> {
  throwIfCancelled(signal);
  const [first, ...rest] = command;
  const child = spawn(first, [...rest, ...args], { stdio: ['ignore', 2, 2] });
  const closed = once(child, 'close');
  closed.catch(() => {});
  await whenSpawned(child);
  const release = onAbort(signal, () => child.kill('SIGTERM'));
  await closed;
  release();
  throwIfCancelled(signal);
  if (child.exitCode === 0) return;
  throw new SandboxError('unavailable', `\`${program} ${args[0]}\` failed; its message is above.`, {
    hint: `Correct the cause and run this again. ${hint}`,
  });
}
