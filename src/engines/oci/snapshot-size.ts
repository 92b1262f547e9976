import type { Host } from './host.ts';
import { findProgram, runHostProgram } from './host-program.ts';
import { runMapped } from './mapped-program.ts';

/**
 * What a tree of a sandbox's files takes on disk, in bytes (whole KiB, as `du -k` counts). It walks the tree and takes
 * as long as there are files, not bytes; `du` follows no link. An abort kills it.
 */
export async function countBytes(
  host: Host,
  path: string,
  signal: AbortSignal,
  state: 'at rest' | 'living' = 'at rest',
): Promise<number> {
  const du = findProgram('du');
  if (du === null) throw new Error('du is missing on this host');
  const args = ['-sk', '--', path];
  const { exitCode, output } =
    host.idMap.kind === 'root'
      ? await runHostProgram(du, args, { signal })
      : await runMapped(host.agent, host.idMap, du, args, signal);
  const kib = /^(\d+)\s/m.exec(output)?.[1];
  // Files of a living tree may be gone before they are counted; `du` then tells the rest and exits with 1.
  const counted = exitCode === 0 || (exitCode === 1 && state === 'living');
  if (!counted || kib === undefined) throw new Error(`du failed: ${output.slice(0, 200)}`);
  return Number(kib) * 1_024;
}
