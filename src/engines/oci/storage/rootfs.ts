/** Creates the host directories that hold a sandbox's root file system. */
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { IdMap } from '../host/id-map.ts';
import { AGENT_NAME, DPKG_DATABASE, MOUNT_POINTS } from '../host/system-directories.ts';
import type { BaseLayers } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import type { Base } from './base-layers.ts';

/** The mount point of dpkg's database, and directories that apt expects (apt.conf(5), `Dir`). */
const PACKAGE_DIRECTORIES = [
  DPKG_DATABASE,
  'var/lib/apt/lists/partial',
  'var/cache/apt/archives/partial',
  'var/cache/debconf',
  'var/log/apt',
];

/** The upper and work directory of one top-level directory. */
export function layerPaths(paths: SandboxPaths, name: string): { upper: string; work: string } {
  return { upper: join(paths.upper, name), work: join(paths.work, name) };
}

/**
 * Creates the directories of a new sandbox. Other host users cannot access what its root owns; parent directories can only be
 * traversed.
 */
export async function makeSandboxDirectories(
  paths: SandboxPaths,
  idMap: IdMap,
  base: Base,
  owners: BaseLayers['owners'],
): Promise<void> {
  const passable = idMap.kind === 'root' ? 0o711 : 0o700;
  const own = (path: string) => (idMap.kind === 'root' ? chown(path, idMap.hostUid, idMap.hostGid) : null);
  const rootfs = join(paths.bundle, 'rootfs');
  await mkdir(paths.bundle, { mode: passable });
  await chmod(paths.bundle, passable);
  await Promise.all([mkdir(paths.commands, { mode: 0o700 }), mkdir(paths.runtime, { mode: 0o700 })]);
  await mkdir(paths.agent, { mode: 0o700 });
  await own(paths.agent);

  await mkdir(rootfs);
  await chmod(rootfs, 0o755);
  const layered = base.directories.map(({ name }) => name);
  const atTop = base.directories.flatMap(({ name, place = name }) => (place === name ? [name] : []));
  const mountPoints = [...MOUNT_POINTS, ...atTop];
  await Promise.all(mountPoints.map((name) => mkdir(join(rootfs, name))));
  // Without privileges, crun gives a tmpfs the mode of the directory below it, whatever the mount options say.
  await chmod(join(rootfs, 'tmp'), 0o1777);
  await Promise.all(base.links.map((link) => symlink(link.target, join(rootfs, link.name))));
  await writeFile(join(rootfs, AGENT_NAME), '', { mode: 0o755 });

  for (const directory of [paths.layers, paths.upper, paths.work]) {
    await mkdir(directory, { mode: 0o700 });
    await own(directory);
  }
  await Promise.all(
    layered.map(async (name) => {
      const { upper, work } = layerPaths(paths, name);
      const inherited = owners[name];
      await Promise.all([mkdir(upper), mkdir(work)]);
      await Promise.all([own(upper), own(work)]);
      if (inherited !== undefined && idMap.kind === 'root') await chown(upper, inherited.uid, inherited.gid);
      // An overlay shows the upper directory's own mode as that of the merged one.
      await chmod(upper, inherited?.mode ?? (name === 'root' ? 0o700 : 0o755));
    }),
  );
  if (base.directories.some(({ place }) => place === DPKG_DATABASE)) {
    for (const directory of PACKAGE_DIRECTORIES) await makeBelow(paths.upper, directory, own);
  }
}

/** Creates a directory and its parents in a layer, owned by the sandbox's root. */
async function makeBelow(
  layer: string,
  directory: string,
  own: (path: string) => Promise<void> | null,
): Promise<void> {
  let path = layer;
  for (const part of directory.split('/')) {
    path = join(path, part);
    try {
      await mkdir(path, { mode: 0o755 });
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') continue;
      throw error;
    }
    await chmod(path, 0o755);
    await own(path);
  }
}
