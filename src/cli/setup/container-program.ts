/** Finds a program that runs containers. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

export interface ContainerProgram {
  /** Absolute: a desktop application does not have the `PATH` of a shell. */
  readonly path: string;
  /** Docker Desktop, OrbStack and colima bring `docker`. */
  readonly kind: 'docker' | 'podman';
}

/** Null if there is none in these directories; `docker` is preferred. */
export async function findContainerProgram(
  directories: readonly string[],
  platform: NodeJS.Platform,
): Promise<ContainerProgram | null> {
  for (const kind of ['docker', 'podman'] as const) {
    for (const directory of directories) {
      const path = join(directory, platform === 'win32' ? `${kind}.exe` : kind);
      if (await isExecutable(path)) return { path, kind };
    }
  }
  return null;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
