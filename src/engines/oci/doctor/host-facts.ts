/** Facts about this host that decide whether sandboxes can run; read here, evaluated elsewhere. */
import { constants } from 'node:fs';
import { access, lstat, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { findSharedDirectory, type SharedDirectory } from '../../../shared/fs/private-path.ts';
import { type CgroupLayout, cgroupLayout } from '../host/cgroups.ts';
import { findProgram } from '../host/host-program.ts';
import { parseSubordinateRanges, type SubordinateRange, userName } from '../host/id-map.ts';
import { type Distro, parseOsRelease } from './distro.ts';

export interface HostFacts {
  readonly distro: Distro;
  readonly kernel: string;
  readonly arch: string;
  readonly isRoot: boolean;
  /** Null if /etc/passwd has no line for this user. */
  readonly user: string | null;
  readonly uid: number;
  /** Those of `PROGRAMS` that are installed. */
  readonly programs: ReadonlySet<string>;
  /** True in a container of any kind. */
  readonly inContainer: boolean;
  /** Root, but without CAP_SYS_ADMIN or in a user namespace. */
  readonly rootIsLimited: boolean;
  /** Null if the kernel does not have the setting. */
  readonly unprivilegedUserns: number | null;
  readonly maxUserNamespaces: number | null;
  readonly apparmorRestrictsUserns: number | null;
  /** Runtimes for which the distribution ships an AppArmor profile. */
  readonly apparmorProfiles: ReadonlySet<string>;
  readonly subuid: readonly SubordinateRange[];
  readonly subgid: readonly SubordinateRange[];
  readonly cgroups: CgroupFacts;
  /** The user id that owns /dev/null. */
  readonly nullOwner: number;
  readonly agent: AgentFacts;
  readonly stateDir: StateDirFacts;
}

export interface CgroupFacts {
  readonly layout: CgroupLayout;
  /** Root: whether cgroups can be created. */
  readonly writable: boolean;
  /**
   * Ordinary user with cgroups v2: the controllers that systemd delegates to the user manager; null without
   * one.
   */
  readonly delegated: readonly string[] | null;
}

export interface AgentFacts {
  readonly built: boolean;
  /** The script that builds it, in a source tree; null in an installed package. */
  readonly buildScript: string | null;
}

export interface StateDirFacts {
  readonly path: string;
  /** The directory itself, or its nearest existing ancestor. */
  readonly existing: { readonly path: string; readonly isDirectory: boolean; readonly writable: boolean };
  readonly fileSystem: string;
  /** The first directory on its path without search permission for others, or null. */
  readonly notPassable: string | null;
  /** The first directory on its path that another user could write to, or null. */
  readonly shared: SharedDirectory | null;
  readonly freeBytes: number;
}

const CAP_SYS_ADMIN = 21n;
const PROGRAMS = ['crun', 'runc', 'newuidmap', 'newgidmap', 'cc', 'unshare', 'usermod', 'systemctl'];

/** Reads the facts of this Linux host. Rejects only if something that every Linux has is missing. */
export async function readHostFacts(stateDir: string, agentFile: string): Promise<HostFacts> {
  const isRoot = process.geteuid?.() === 0;
  const uid = process.geteuid?.() ?? 0;
  const osRelease = (await textOf('/etc/os-release')) ?? (await textOf('/usr/lib/os-release')) ?? '';
  return {
    distro: parseOsRelease(osRelease),
    kernel: release(),
    arch: process.arch,
    isRoot,
    user: userName(),
    uid,
    programs: new Set(PROGRAMS.filter((name) => findProgram(name) !== null)),
    inContainer: await isInContainer(),
    rootIsLimited: isRoot && (await lacksPower()),
    unprivilegedUserns: await numberOf('/proc/sys/kernel/unprivileged_userns_clone'),
    maxUserNamespaces: await numberOf('/proc/sys/user/max_user_namespaces'),
    apparmorRestrictsUserns: await numberOf('/proc/sys/kernel/apparmor_restrict_unprivileged_userns'),
    apparmorProfiles: new Set(await present('/etc/apparmor.d', ['crun', 'runc'])),
    subuid: parseSubordinateRanges((await textOf('/etc/subuid')) ?? ''),
    subgid: parseSubordinateRanges((await textOf('/etc/subgid')) ?? ''),
    cgroups: await cgroupFacts(uid),
    nullOwner: (await stat('/dev/null')).uid,
    agent: await agentFacts(agentFile),
    stateDir: await stateDirFacts(stateDir),
  };
}

async function isInContainer(): Promise<boolean> {
  const marks = ['/.dockerenv', '/run/.containerenv', '/run/systemd/container'];
  const found = await Promise.all(marks.map((path) => textOf(path)));
  return found.some((text) => text !== null);
}

async function lacksPower(): Promise<boolean> {
  const status = (await textOf('/proc/self/status')) ?? '';
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const wholeMap = /^\s*0\s+0\s+4294967295\s*$/.test((await textOf('/proc/self/uid_map')) ?? '');
  return ((effective >> CAP_SYS_ADMIN) & 1n) === 0n || !wholeMap;
}

async function cgroupFacts(uid: number): Promise<CgroupFacts> {
  const layout = await cgroupLayout();
  const probed = layout === 'v2' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
  const manager = `/sys/fs/cgroup/user.slice/user-${uid}.slice/user@${uid}.service/cgroup.controllers`;
  const controllers = layout === 'v2' ? await textOf(manager) : null;
  return {
    layout,
    writable: await isAccessible(probed, constants.W_OK),
    delegated: controllers === null ? null : controllers.trim().split(/\s+/),
  };
}

async function agentFacts(agentFile: string): Promise<AgentFacts> {
  const buildScript = join(dirname(dirname(agentFile)), 'scripts/build.mjs');
  return {
    built: await isAccessible(agentFile, constants.X_OK),
    buildScript: (await isAccessible(buildScript, constants.R_OK)) ? buildScript : null,
  };
}

async function stateDirFacts(path: string): Promise<StateDirFacts> {
  const existing = await nearestExisting(path);
  const isDirectory = await isDirectoryAt(existing);
  // A link may point to another file system; a dangling one belongs to its parent's.
  const directory = await realpath(isDirectory ? existing : dirname(existing));
  const { bavail, bsize } = await statfs(directory);
  return {
    path,
    existing: {
      path: existing,
      isDirectory,
      writable: await isAccessible(existing, constants.W_OK | constants.X_OK),
    },
    fileSystem: fileSystemOf(directory, (await textOf('/proc/self/mountinfo')) ?? ''),
    notPassable: await firstNotPassable(dirname(path)),
    shared: findSharedDirectory(path),
    freeBytes: bavail * bsize,
  };
}

/** The type of the file system that contains a path, from the text of /proc/self/mountinfo (proc(5)). */
export function fileSystemOf(path: string, mountInfo: string): string {
  let best = { point: '', type: 'unknown' };
  for (const line of mountInfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const point = (before.split(' ')[4] ?? '').replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const holds = point === '/' || path === point || path.startsWith(`${point}/`);
    // A later mount on the same point hides the earlier one.
    if (point !== '' && holds && point.length >= best.point.length) {
      best = { point, type: after.split(' ')[0] ?? 'unknown' };
    }
  }
  return best.type;
}

async function present(directory: string, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map((name) => isAccessible(join(directory, name), constants.F_OK)));
  return names.filter((_, index) => found[index]);
}

/** A dangling link counts as existing: nothing else can be created in its place. */
async function nearestExisting(path: string): Promise<string> {
  for (let current = path; ; current = dirname(current)) {
    try {
      await lstat(current);
      return current;
    } catch {
      if (current === dirname(current)) return current;
    }
  }
}

async function isDirectoryAt(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

async function firstNotPassable(path: string): Promise<string | null> {
  const parent = dirname(path);
  const above = parent === path ? null : await firstNotPassable(parent);
  if (above !== null) return above;
  try {
    return ((await stat(path)).mode & 0o001) === 0 ? path : null;
  } catch {
    // Does not exist yet: the engine creates it with the right mode.
    return null;
  }
}

/** The file's text, or null if it does not exist on this system or this user cannot read it. */
async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

async function numberOf(path: string): Promise<number | null> {
  const text = await textOf(path);
  return text === null ? null : Number(text.trim());
}

async function isAccessible(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false;
  }
}
