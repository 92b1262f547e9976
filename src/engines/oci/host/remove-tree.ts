/** Removes a sandbox's files, including those owned by ids of its user namespace. */
import { findProgram, runHostProgram } from './host-program.ts';
import type { IdMap } from './id-map.ts';
import { runInUserns } from './userns-program.ts';

/**
 * Removes these trees. `rm` never follows a symbolic link, continues if this process ends, and is faster than
 * removing them from here. Rejects if something remains.
 */
export async function removeTrees(agent: string, idMap: IdMap, paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  const rm = findProgram('rm');
  if (rm === null) throw new Error('this host has no rm');
  const args = ['-rf', '--', ...paths];
  const { exitCode, output } =
    idMap.kind === 'root'
      ? await runHostProgram(rm, args, { detached: true })
      : await runInUserns(agent, idMap, rm, args);
  if (exitCode !== 0) throw new Error(`could not remove a sandbox's files: ${output.trim()}`);
}
