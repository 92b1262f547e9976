/** Where a server of a crash test lives: folders of its own, and who it runs as. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitForProcessesNaming } from '../../support/leftovers.ts';
import type { OrdinaryUser } from '../../support/ordinary-user.ts';

export interface Place {
  /** Holds everything of the place, and stands in every path by which a leftover is known. */
  readonly home: string;
  readonly stateDir: string;
  /** The folder that `local_path` may name. */
  readonly files: string;
  /** What makes an ordinary user's command of one; null runs as this process's user. */
  readonly wrap: ((argv: readonly string[]) => string[]) | null;
  remove(): Promise<void>;
}

/** Makes the folders. `user` is who the servers run as where that is somebody else. */
export async function makePlace(user: OrdinaryUser | null = null): Promise<Place> {
  // Short, since socket paths have a limit; passable, since a sandbox's users work below it.
  const home = await mkdtemp(join(user?.tmp ?? tmpdir(), 'c-'));
  await chmod(home, user === null ? 0o711 : 0o777);
  const files = join(home, 'w');
  await mkdir(files);
  return {
    home,
    stateDir: join(home, 's'),
    files,
    wrap: user === null ? null : (argv) => user.command(argv),
    remove: async () => {
      await waitForProcessesNaming(home);
      await rm(home, { recursive: true, force: true });
    },
  };
}
