/** Podman of a temporary ordinary user, with storage of its own. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServerCommand } from '../../../src/cli/setup/clients.ts';
import { makeOrdinaryUser } from '../../support/ordinary-user.ts';

const run = promisify(execFile);

export interface RootlessPodman {
  /** A folder of the user. */
  readonly home: string;
  /** What a client passes to a server. */
  readonly env: Record<string, string>;
  /** Makes the user the owner of a file or folder. */
  own(path: string): void;
  /** The command for root to start an entry as the user. */
  entry(command: ServerCommand): ServerCommand;
  /** Runs `podman`; resolves to its output. */
  podman(...args: string[]): Promise<string>;
  /** Loads an archive that `docker save` wrote, which it takes. */
  load(archive: string): Promise<void>;
  close(): Promise<void>;
}

/** Why it cannot run here; null if it can. */
export function lacksForPodman(): string | null {
  if (existsSync('/usr/bin/podman')) return null;
  return 'podman is missing; `npm run test:container` as root installs it';
}

export async function openRootlessPodman(): Promise<RootlessPodman> {
  const user = await makeOrdinaryUser(true);
  const { home } = user;
  for (const name of ['run', 'storage']) {
    await mkdir(join(home, name), { mode: 0o700 });
    user.own(join(home, name));
  }
  // crun refuses containers where both versions of cgroups are mounted.
  const runtime = existsSync('/sys/fs/cgroup/unified') ? ['runtime = "runc"'] : [];
  const engine = ['[engine]', 'cgroup_manager = "cgroupfs"', 'events_logger = "file"', ...runtime];
  await writeFile(join(home, 'containers.conf'), `${engine.join('\n')}\n`);
  const places = [`graphroot = "${home}/storage"`, `runroot = "${home}/run/containers"`];
  await writeFile(
    join(home, 'storage.conf'),
    `${['[storage]', 'driver = "overlay"', ...places].join('\n')}\n`,
  );
  const env = {
    PATH: process.env['PATH'] ?? '',
    XDG_RUNTIME_DIR: join(home, 'run'),
    CONTAINERS_CONF: join(home, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(home, 'storage.conf'),
  };
  const entry = ({ command, args }: ServerCommand): ServerCommand => {
    const [program = '', ...rest] = user.command([command, ...args]);
    return { command: program, args: rest };
  };
  const podman = async (...args: string[]): Promise<string> => {
    const { command, args: all } = entry({ command: 'podman', args });
    return (await run(command, [...all], { env, maxBuffer: 1e8 })).stdout.trim();
  };
  return {
    home,
    env,
    own: user.own,
    entry,
    podman,
    async load(archive) {
      const own = join(home, 'image.tar');
      await rename(archive, own);
      await chmod(own, 0o644);
      await podman('load', '--input', own);
    },
    async close() {
      // It keeps the user namespace of a user until the next boot.
      const pause = join(home, 'run/libpod/tmp/pause.pid');
      const pid = Number(await readFile(pause, 'utf8').catch(() => '0'));
      if (pid > 1) process.kill(pid, 'SIGKILL');
      await user.remove();
    },
  };
}
