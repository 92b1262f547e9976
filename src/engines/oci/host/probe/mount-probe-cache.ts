/**
 * Keeps that root's mounts work until the machine restarts, so that a start need not try them. That they do not
 * is tried again each time, since it may have passed.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { writeFileAtomic } from '../../../../shared/fs/atomic-file.ts';
import { findSharedDirectory } from '../../../../shared/fs/private-path.ts';
import { makeDirectory } from '../../../../shared/fs/state-directory.ts';
import { currentProcess } from '../../../../shared/process-identity.ts';
import type { IdMap } from '../id-map.ts';
import { rightsOfProcess, runtimeDirectory } from './until-restart.ts';

/** What the result depends on. */
export interface ProbedMounts {
  readonly stateDir: string;
  /** Of the host: what is mounted besides the state directory. */
  readonly directories: readonly string[];
  /** The executable, whose name has its digest. */
  readonly agent: string;
  readonly diskIds: Pick<IdMap, 'uidMappings'>;
  /** Whether the sandboxes' ids differ from those on disk. */
  readonly separateIds: boolean;
}

/** The file that says that these mounts work. Its name is their digest, so the content is for people alone. */
export class MountProbeCache {
  readonly #path: string | null;
  readonly #key: string;

  constructor(probed: ProbedMounts, directory: string | null = runtimeDirectory()) {
    const fileSystems = [
      fileSystemOf(probed.stateDir),
      ...probed.directories.map((path) => `${path}:${fileSystemOf(path)}`),
    ];
    const [ids] = probed.diskIds.uidMappings;
    this.#key = [
      ...[currentProcess().bootId, release(), basename(probed.agent), ids?.size, rightsOfProcess()],
      probed.separateIds ? 'separate ids' : 'one range',
      ...fileSystems,
    ].join('|');
    const name = createHash('sha256').update(this.#key).digest('hex').slice(0, 32);
    this.#path = directory === null ? null : join(directory, `mounts-${name}`);
  }

  /** Whether a probe has shown that they work. */
  has(): boolean {
    const path = this.#path;
    if (path === null || !existsSync(path) || findSharedDirectory(dirname(path)) !== null) return false;
    try {
      return readFileSync(path, 'utf8') === this.#key;
    } catch {
      // Removed meanwhile, or not this user's: another probe is as good.
      return false;
    }
  }

  /** Keeps that they work. */
  async add(): Promise<void> {
    const path = this.#path;
    if (path === null) return;
    try {
      await makeDirectory(dirname(path), 0o700);
      if (findSharedDirectory(dirname(path)) !== null) return;
      await writeFileAtomic(path, this.#key, 0o600, false);
    } catch {
      // A read-only /run: the next start tries the mounts again.
    }
  }
}

/** The kernel gives the number of a device that was unmounted to the next one, so the type belongs to it. */
function fileSystemOf(path: string): string {
  const dev = statSync(path, { throwIfNoEntry: false })?.dev;
  return dev === undefined ? 'none' : `${dev}.${statfsSync(path).type}`;
}
