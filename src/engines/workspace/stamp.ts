import { lstat } from 'node:fs/promises';
import { systemErrorCode } from '../../shared/errors.ts';
import type { HostDirectory } from '../../shared/fs/host-directory.ts';

interface Stamped {
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

/** A text that changes whenever a file does. The kernel sets the change time, so it cannot be forged. */
export function stampOf({ ino, size, mtimeNs, ctimeNs }: Stamped): string {
  return `${ino}.${size}.${mtimeNs}.${ctimeNs}`;
}

/**
 * The stamp of the file or the link of a name. Null for nothing, and for a directory: a file that takes its
 * place is staged while the directory is there, and renamed once it has gone.
 */
export async function stampAt(parent: HostDirectory, name: string): Promise<string | null> {
  try {
    const stats = await lstat(parent.at(name), { bigint: true });
    return stats.isDirectory() ? null : stampOf(stats);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** In place of a stamp for what an apply has deleted. */
export const APPLIED_DELETION = '';
