/** The environment of a server in a crash test: its folders, and the user it runs as. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { warm } from '../../support/host/warm-state.ts';
import { waitForCleanUps } from '../../support/leftovers.ts';
import type { OrdinaryUser } from '../../support/ordinary-user.ts';

export interface Place {
  /** Contains all files, and is part of every path that identifies a leftover. */
  readonly home: string;
  readonly stateDir: string;
  /** The folder that `local_path` may name. */
  readonly files: string;
  /** Wraps a command to run as an ordinary user; null runs as this process's user. */
  readonly wrap: ((argv: readonly string[]) => string[]) | null;
  remove(): Promise<void>;
}

/** Creates the folders. `user` is the user that the servers run as, if it is another one. */
export async function makePlace(user: OrdinaryUser | null = null): Promise<Place> {
  // Short, since socket paths have a limit; searchable by all, since sandbox users work below it.
  const home = await mkdtemp(join(user?.tmp ?? tmpdir(), 'c-'));
  await chmod(home, 0o711);
  const files = join(home, 'w');
  await mkdir(files);
  for (const path of [home, files]) user?.own(path);
  if (user === null) await warm(join(home, 's'));
  return {
    home,
    stateDir: join(home, 's'),
    files,
    wrap: user === null ? null : (argv) => user.command(argv),
    remove: async () => {
      await waitForCleanUps(home);
      await rm(home, { recursive: true, force: true });
    },
  };
}
