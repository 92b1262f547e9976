import { findProgram, runHostProgram } from './host-program.ts';
import type { IdMap } from './id-map.ts';
import { runInUserns } from './userns-program.ts';

/**
 * Copies a tree of a sandbox's files with owners, modes, times and the marks of the overlay. `cp` follows no
 * link, and shares the blocks where the file system can. Rejects if something is left out.
 */
export async function copyTree(agent: string, idMap: IdMap, from: string, to: string): Promise<void> {
  const cp = findProgram('cp');
  if (cp === null) throw new Error('this host has no cp');
  const args = ['-a', '--reflink=auto', '--', from, to];
  const { exitCode, output } =
    idMap.kind === 'root' ? await runHostProgram(cp, args) : await runInUserns(agent, idMap, cp, args);
  if (exitCode !== 0) throw new Error(`could not copy a sandbox's files: ${output.trim()}`);
}
