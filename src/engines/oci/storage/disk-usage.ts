import type { Host } from '../host/host.ts';
import { findProgram, runHostProgram } from '../host/host-program.ts';
import { runInUserns } from '../host/userns-program.ts';
import type { DiskUse } from './disk-watch.ts';

/**
 * Disk use of a tree of a sandbox's files in bytes (whole KiB, as `du -k` counts). Its cost depends on the
 * number of files. `du` follows no link. An abort kills it.
 */
export async function countBytes(host: Host, path: string, signal: AbortSignal): Promise<number> {
  const { exitCode, output, stdout } = await runDu(host, ['-sk'], [path], signal);
  const kib = totalOf(stdout);
  if (exitCode !== 0 || kib === null) throw new Error(`du failed: ${output.slice(0, 200)}`);
  return kib * 1_024;
}

/**
 * Disk use and number of files of trees that are being written to, together. Files that disappear before they
 * are counted are ignored. The number is 0 if `du` does not support `--inodes`.
 */
export async function countRunning(
  host: Host,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<DiskUse> {
  const [size, files] = await Promise.all([
    runDu(host, ['-sk'], paths, signal),
    runDu(host, ['-s', '--inodes'], paths, signal),
  ]);
  const kib = totalOf(size.stdout);
  if (kib === null) throw new Error(`du failed: ${size.output.slice(0, 200)}`);
  return { bytes: kib * 1_024, files: totalOf(files.stdout) ?? 0 };
}

function runDu(host: Host, options: string[], paths: readonly string[], signal: AbortSignal) {
  const du = findProgram('du');
  if (du === null) throw new Error('this host has no du');
  const args = [...options, '--', ...paths];
  return host.diskIds.kind === 'root'
    ? runHostProgram(du, args, { signal })
    : runInUserns(host.agent, host.diskIds, du, args, signal);
}

/** The sum over all trees; null if there is none. */
function totalOf(stdout: string): number | null {
  const totals = [...stdout.matchAll(/^(\d+)\s/gm)].map(([, total]) => Number(total));
  return totals.length === 0 ? null : totals.reduce((sum, total) => sum + total, 0);
}
