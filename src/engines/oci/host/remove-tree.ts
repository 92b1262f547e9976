/** Removes what a sandbox left on disk, ids of its user namespace included. */
import { findProgram, runHostProgram } from './host-program.ts';
import type { IdMap } from './id-map.ts';
import { runInUserns } from './userns-program.ts';

/**
 * Removes these trees whole. `rm` never follows a symbolic link, goes on when this process ends, and is faster than
 * removing from here. Rejects when something stayed.
 */
export async function removeTrees(agent: string, idMap: IdMap, paths: string[]): Promise<void> {
  if (paths.length === 0) return;
  const rm = findProgram('rm');
  if (rm === null) throw new Error('rm is missing on this host');
  const args = ['-rf', '--', ...paths];
  const { exitCode, output } =
    idMap.kind === 'root'
      ? await runHostProgram(rm, args, { detached: true })
      : await runInUserns(agent, idMap, rm, args);
  if (exitCode !== 0) throw new Error(`could not remove a sandbox's files: ${output.trim()}`);
}
