import { chmod, mkdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryName } from '../../../../shared/fs/atomic-file.ts';
import type { HostDirectory } from '../../../../shared/fs/host-directory.ts';
import type { StateLayout } from '../../state/state-layout.ts';
import { runHostProgram } from '../host-program.ts';
import type { IdMap } from '../id-map.ts';
import { MountProbeCache } from './mount-probe-cache.ts';

/**
 * Who mounts the overlays. `by-root`: the agent's `launch`, as root, with id-mapped host directories and
 * directory renames. `by-runtime`: the OCI runtime, inside the sandbox's user namespace, which supports
 * neither.
 */
export type MountsBy = 'by-root' | 'by-runtime';

/** What does not work in a sandbox whose overlays the runtime mounts, for people and models. */
export const RUNTIME_MOUNT_LIMITATIONS = [
  'System directories such as /usr/bin belong to nobody inside, so sudo cannot change them.',
  'rename(2) of a directory from the system or a snapshot fails with EXDEV; mv copies it instead.',
];

/** What root can mount here; see `Host`. */
export interface MountAbilities {
  mounts: MountsBy;
  canSeparateIds: boolean;
}

/** What a root server's sandboxes lack without ids of their own, for people and models. */
export const SHARED_IDS =
  'Sandboxes share their user ids on the host, and so what the kernel counts by user: the file system of the state directory cannot map them.';

/** Tries root's mounts on the state directory's file system, unless they have worked since the machine started. */
export async function probeMounts(
  layout: StateLayout,
  agent: string,
  diskIds: IdMap,
  systemDirectories: string[],
): Promise<MountAbilities> {
  if (diskIds.kind !== 'root') return { mounts: 'by-runtime', canSeparateIds: false };
  const system = systemDirectories.map((name) => `/${name}`);
  for (const separateIds of [true, false]) {
    const directories = separateIds ? [...system, ...(await otherFileSystems(layout))] : system;
    const { stateDir } = layout;
    const cache = new MountProbeCache({ stateDir, directories, agent, diskIds, separateIds });
    if (!cache.has()) {
      if (!(await canMount(layout, agent, diskIds, directories, separateIds))) continue;
      await cache.add();
    }
    return { mounts: 'by-root', canSeparateIds: separateIds };
  }
  return { mounts: 'by-runtime', canSeparateIds: false };
}

/** The directories of the state directory that sandboxes mount and that are on another file system. */
async function otherFileSystems(layout: StateLayout): Promise<string[]> {
  const { dev } = await stat(layout.stateDir);
  const { sandboxes, snapshots, etcTemplates, images, volumes } = layout;
  const found: string[] = [];
  for (const directory of [sandboxes, snapshots, etcTemplates, images, volumes]) {
    const there = await stat(directory).catch(() => null);
    if (there !== null && there.dev !== dev) found.push(directory);
  }
  return found;
}

/** Tries root's mounts, with these directories of the host as lower layers. */
async function canMount(
  layout: StateLayout,
  agent: string,
  diskIds: IdMap,
  directories: readonly string[],
  separateIds: boolean,
): Promise<boolean> {
  const [ids] = diskIds.uidMappings;
  if (diskIds.kind !== 'root' || ids === undefined) return false;
  const scratch = temporaryName(join(layout.trash, 'probe'));
  await mkdir(scratch);
  // The sandbox's root must traverse it.
  await chmod(scratch, 0o711);
  try {
    // Any other range shows whether it works.
    const base = separateIds ? ids.hostID + ids.size : ids.hostID;
    const args = ['probe-mounts', scratch, ...[base, ids.size, ids.hostID].map(String), ...directories];
    const { exitCode } = await runHostProgram(agent, args);
    return exitCode === 0;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Whether root can mount a folder with the sandbox's ids. */
export type CanMapIds = (folder: HostDirectory) => Promise<boolean>;

/**
 * Tries each file system until it works. That of the state directory is known: `probeMounts` has tried it.
 */
export async function probeIdMaps(layout: StateLayout, agent: string, diskIds: IdMap): Promise<CanMapIds> {
  const { dev } = await stat(layout.stateDir);
  const tried = new Map<string, Promise<boolean>>();
  return async (folder) => {
    if (folder.stats.dev === dev) return true;
    // The kernel gives the number of a device that was unmounted to the next one.
    const fileSystem = `${folder.stats.dev}:${(await statfs(folder.self)).type}`;
    const known = tried.get(fileSystem);
    if (known !== undefined) return known;
    // By its path: no other mount namespace takes a descriptor of this one.
    const trying = canMount(layout, agent, diskIds, [folder.path], false);
    tried.set(fileSystem, trying);
    try {
      const can = await trying;
      // The reason may pass, as for all mounts.
      if (!can) tried.delete(fileSystem);
      return can;
    } catch (error) {
      tried.delete(fileSystem);
      throw error;
    }
  };
}
