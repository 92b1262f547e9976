/** The cgroups of a sandbox on the host: their paths, limits and out-of-memory kills. */
import { readFileSync } from 'node:fs';
import { access, constants, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';

const ROOT = '/sys/fs/cgroup';
/**
 * cgroups v1 controllers, one hierarchy each; `systemd` and `unified` have no limits but hold directories.
 */
const LIMITING = ['memory', 'cpu', 'pids'] as const;

export type CgroupLayout = 'none' | 'v1' | 'hybrid' | 'v2';

/** How this host mounts cgroups (cgroups(7)). */
export async function cgroupLayout(root = ROOT): Promise<CgroupLayout> {
  const has = async (path: string) =>
    access(join(root, path), constants.R_OK).then(
      () => true,
      () => false,
    );
  if (await has('cgroup.controllers')) return 'v2';
  if (!(await has('memory')) && !(await has('pids'))) return 'none';
  return (await has('unified/cgroup.controllers')) ? 'hybrid' : 'v1';
}

/** The path of a sandbox's cgroup; flat, so that only the sandbox's own directories need cleanup. */
export function cgroupPath(sandboxId: string): string {
  return `/sandbox-mcp.${sandboxId}`;
}

/** Whether swap can be limited: always on v2; on v1 if the kernel accounts swap (`memsw`). */
export async function canLimitSwap(layout: CgroupLayout, root = ROOT): Promise<boolean> {
  if (layout === 'v2') return true;
  return access(join(root, 'memory/memory.memsw.limit_in_bytes')).then(
    () => true,
    () => false,
  );
}

function hierarchies(layout: CgroupLayout, names: string[]): string[] {
  return layout === 'v2' ? [ROOT] : names.map((name) => join(ROOT, name));
}

/** The existing cgroup directories of a path in every hierarchy. */
export async function findCgroups(layout: CgroupLayout, path: string): Promise<string[]> {
  if (layout === 'none') return [];
  const names = layout === 'v2' ? [] : await readdir(ROOT);
  const found: string[] = [];
  for (const hierarchy of hierarchies(layout, names)) {
    const directory = join(hierarchy, path);
    try {
      await access(directory);
      found.push(directory);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' && systemErrorCode(error) !== 'ENOTDIR') throw error;
    }
  }
  return found;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Removed with the sandbox, or from the other cgroup version: nothing to read.
    return null;
  }
}

/** The v2 cgroup directory in the text of `/proc/PID/cgroup` (cgroups(7)); empty if there is none. */
export function unifiedCgroup(procCgroup: string): string[] {
  const path = /^0::(\/.+)$/m.exec(procCgroup)?.[1];
  return path === undefined || path.includes('/../') ? [] : [join(ROOT, path)];
}

/** Which limits are actually in force in these directories. */
export function enforcedLimits(directories: string[]): Record<(typeof LIMITING)[number], boolean> {
  const bounded = (file: string) => {
    for (const directory of directories) {
      const text = readOrNull(join(directory, file))?.trim();
      // "No limit" is a number of 19 digits or -1 in v1, and `max` in v2.
      if (text && text !== 'max' && !text.startsWith('max ') && text !== '-1' && text.length < 19)
        return true;
    }
    return false;
  };
  return {
    memory: bounded('memory.max') || bounded('memory.limit_in_bytes'),
    cpu: bounded('cpu.max') || bounded('cpu.cfs_quota_us'),
    pids: bounded('pids.max'),
  };
}

/** Out-of-memory kills in this sandbox so far. */
export function outOfMemoryKills(directories: string[]): number {
  const v1 = directories.find((directory) => directory.startsWith(`${ROOT}/memory/`));
  const [v2] = directories;
  if (v2 === undefined) return 0;
  const text = readOrNull(v1 === undefined ? join(v2, 'memory.events') : join(v1, 'memory.oom_control'));
  return Number(/^oom_kill (\d+)$/m.exec(text ?? '')?.[1] ?? 0);
}

/** The processes in these cgroups and their descendants. */
async function processesIn(directory: string): Promise<number[]> {
  try {
    return (await readFile(join(directory, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean).map(Number);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENODEV') return [];
    throw error;
  }
}

/** Kills the processes of a cgroup: with `cgroup.kill` where the kernel has it, else by signal. */
export async function killCgroup(directory: string): Promise<void> {
  try {
    await writeFile(join(directory, 'cgroup.kill'), '1');
  } catch {
    // v1, or a kernel before 5.14: one signal each. The caller repeats until none is left.
    for (const pid of await processesIn(directory)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if (systemErrorCode(error) !== 'ESRCH') throw error;
      }
    }
  }
}

/** True if no process is left in any of these cgroups. */
export async function cgroupsAreEmpty(directories: string[]): Promise<boolean> {
  for (const directory of directories) if ((await processesIn(directory)).length > 0) return false;
  return true;
}

/** Removes cgroups and returns those that are still busy; a missing directory is not an error. */
export async function removeCgroups(directories: string[]): Promise<string[]> {
  const busy: string[] = [];
  for (const directory of directories) {
    try {
      await rmdir(directory);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'EBUSY') busy.push(directory);
      else if (code !== 'ENOENT') throw error;
    }
  }
  return busy;
}

/** Stops and continues all processes of a sandbox. */
export interface Freezer {
  /** The file that freezes (`on`) and thaws (`off`). */
  file: string;
  on: string;
  off: string;
  /** The file that says when everything is frozen, and the line in it. */
  state: string;
  frozen: string;
}

/** The freezer of these cgroups (v2, or the v1 controller); null if there is none. */
export function findFreezer(cgroups: readonly string[]): Freezer | null {
  for (const directory of cgroups) {
    const v2 = join(directory, 'cgroup.freeze');
    if (readOrNull(v2) !== null) {
      return { file: v2, on: '1', off: '0', state: join(directory, 'cgroup.events'), frozen: 'frozen 1' };
    }
    const v1 = join(directory, 'freezer.state');
    if (readOrNull(v1) !== null)
      return { file: v1, on: 'FROZEN', off: 'THAWED', state: v1, frozen: 'FROZEN' };
  }
  return null;
}

/** Lets the processes run again. Those that were never frozen run on. */
export async function thaw(cgroups: readonly string[]): Promise<void> {
  const freezer = findFreezer(cgroups);
  if (freezer === null) return;
  try {
    await writeFile(freezer.file, freezer.off);
  } catch (error) {
    // The sandbox has just ended.
    if (!['ENOENT', 'ENODEV'].includes(systemErrorCode(error) ?? '')) throw error;
  }
}
