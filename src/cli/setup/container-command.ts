/** How a client starts the server in a container: on systems whose kernel cannot run sandboxes, by their Linux VM. */
import { posix, win32 } from 'node:path';
import { SandboxError } from '../../shared/errors.ts';
import type { ServerCommand } from './clients.ts';
import type { ContainerProgram } from './container-program.ts';

/** In the image: where the volume with the state is. */
const STATE = '/var/lib/sandbox-mcp';

/**
 * What the server needs to make sandboxes in a container, and no more. SETUID and SETGID let `newuidmap` give a
 * sandbox several users. The default seccomp and AppArmor profiles refuse user namespaces and mounts; masked paths
 * in `/proc` keep the kernel from mounting another `/proc`, which each sandbox has.
 */
export const PRIVILEGES = [
  '--cap-drop=ALL',
  '--cap-add=SETUID',
  '--cap-add=SETGID',
  '--security-opt=seccomp=unconfined',
  '--security-opt=apparmor=unconfined',
  '--security-opt=systempaths=unconfined',
] as const;

/** Rootless Podman: the user is the image's user, and files of a mounted folder may be used in spite of SELinux. */
const PODMAN = ['--userns=keep-id:uid=1000,gid=1000', '--security-opt=label=disable'] as const;

/** Directories of the image that a folder must not hide. */
const OWN = [
  '/bin',
  '/dev',
  '/etc',
  '/lib',
  '/lib64',
  '/opt',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
  STATE,
];

export interface ContainerServer {
  readonly image: string;
  /** With its state: one for each client, since containers cannot share a state directory. */
  readonly volume: string;
  /** Absolute folders of this machine. */
  readonly folders: readonly string[];
  /** All flags of the server but those of folders. */
  readonly flags: readonly string[];
}

/** @throws `invalid_argument` for a folder that cannot be mounted */
export function containerCommand(
  { path, kind }: ContainerProgram,
  { image, volume, folders, flags }: ContainerServer,
  platform: NodeJS.Platform,
): ServerCommand {
  const byTarget = new Map(folders.map((source) => [targetOf(source, platform), source]));
  const mounted = [...byTarget].map(([target, source]) => ({ source, target }));
  const mounts = mounted.map(
    ({ source, target }) =>
      `--mount=${['type=bind', `source=${source}`, `target=${target}`].map(csvField).join(',')}`,
  );
  return {
    command: path,
    args: [
      ...['run', '-i', '--rm', ...PRIVILEGES, ...(kind === 'podman' ? PODMAN : [])],
      ...[`--volume=${volume}:${STATE}`, ...mounts, image],
      ...[...flags, ...mounted.flatMap(({ target }) => ['--allow-dir', target])],
    ],
  };
}

/** The same path, so that the client and the server mean the same by it; `/c/Users/me` for `C:\Users\me`. */
function targetOf(folder: string, platform: NodeJS.Platform): string {
  const normal = platform === 'win32' ? fromWindows(folder) : posix.normalize(folder);
  const path = normal.length > 1 ? normal.replace(/\/$/, '') : normal;
  const own = path === '/' ? '/' : OWN.find((one) => isWithin(path, one) || isWithin(one, path));
  if (own !== undefined)
    throw new SandboxError(
      'invalid_argument',
      own === '/root'
        ? `${folder} cannot be mounted: the user of the container cannot enter /root.`
        : `${folder} cannot be mounted: it would hide the image's ${own}.`,
      {
        hint: 'Name a folder of your own with --allow-dir, such as ~/projects.',
      },
    );
  return path;
}

function fromWindows(folder: string): string {
  const { root } = win32.parse(folder);
  const drive = root.replaceAll(/[:\\/]+/g, '/').toLowerCase();
  const rest = folder.slice(root.length).replaceAll('\\', '/');
  return posix.normalize(`/${drive}/${rest}`);
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** `--mount` takes a line of CSV. */
function csvField(text: string): string {
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
