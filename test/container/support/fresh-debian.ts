/**
 * A Debian of its own with Node and npm and nothing else, entered like a machine: its tree is the root file system of a
 * mount namespace, not a chroot, in which the kernel allows no user namespaces.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { copyNode } from './server-image.ts';

const run = promisify(execFile);
/** Whom it is set up for. The second may use sudo without a password, like the user of a hosted CI runner. */
export const KINDS = ['root', 'an ordinary user'] as const;
const USER = 'alice';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** `$1` becomes the root; the rest is the command, run as the user `$2`. */
const ENTER = `set -e
root=$1 user=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
for name in dev proc sys; do mount --rbind "/$name" "$root/$name"; done
cd "$root"
pivot_root . mnt
exec chroot . /bin/sh -c 'umount -l /mnt && exec setpriv --reuid "$0" --regid "$0" --init-groups -- "$@"' "$user" "$@"`;

export interface FreshDebian {
  /** The user's, as seen inside. */
  readonly home: string;
  /** The command for root to run `argv` inside as the user, in the user's home directory. */
  command(argv: readonly string[]): string[];
  /** Runs a shell script inside as root. */
  asRoot(script: string): Promise<void>;
  /** Writes a file of the user, by its path inside. */
  write(path: string, content: string): Promise<void>;
  /** Where a path inside is outside. */
  path(inside: string): string;
  close(): Promise<void>;
}

/** @param archive a tree that mmdebstrap has made */
export async function openFreshDebian(archive: string, kind: (typeof KINDS)[number]): Promise<FreshDebian> {
  const root = await mkdtemp(join(tmpdir(), 'debian-'));
  await run('chmod', ['755', root]);
  await run('tar', ['--numeric-owner', '-xpf', archive, '-C', root]);
  await copyNode(root);
  for (const name of ['hosts', 'resolv.conf']) await copyFile(join('/etc', name), join(root, 'etc', name));
  const user = kind === 'root' ? 'root' : USER;
  const home = kind === 'root' ? '/root' : `/home/${USER}`;
  const enter = (as: string, words: readonly string[]) => [
    'unshare',
    '--mount',
    'sh',
    '-c',
    ENTER,
    'sh',
    root,
    as,
    ...words,
  ];
  const asRoot = async (script: string) => {
    const [program = '', ...args] = enter('root', ['env', '-i', `PATH=${PATH}`, 'sh', '-ec', script]);
    await run(program, args, { maxBuffer: 1e8 });
  };
  const close = () => rm(root, { recursive: true, force: true });
  try {
    if (kind !== 'root') {
      // As on the machine of a person: the distribution's tools create the user, with subordinate ids.
      await asRoot(
        'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends sudo\n' +
          `useradd --create-home ${USER}\necho '${USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/${USER}`,
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    home,
    command: (argv) => enter(user, ['env', '-i', `--chdir=${home}`, `HOME=${home}`, `PATH=${PATH}`, ...argv]),
    asRoot,
    path: (inside) => join(root, inside),
    async write(inside, content) {
      await writeFile(join(root, inside), content);
      await asRoot(`chown ${user}: '${inside}'`);
    },
    close,
  };
}
