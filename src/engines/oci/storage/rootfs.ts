/** Creates the host directories that hold a sandbox's root file system. */
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { IdMap } from '../host/id-map.ts';
import { PACKAGE_DIRECTORIES } from '../host/package-directories.ts';
import { AGENT_NAME, DPKG_DATABASE, MOUNT_POINTS } from '../host/system-directories.ts';
import type { BaseLayers } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import type { Base } from './base-layers.ts';

/** Modes of the top-level directories that differ from 0755. */
const MODES: Readonly<Record<string, number>> = { root: 0o700, tmp: 0o1777 };

/** The upper and work directory of one top-level directory. */
export function layerPaths(paths: SandboxPaths, name: string): { upper: string; work: string } {
  return { upper: join(paths.upper, name), work: join(paths.work, name) };
}

/**
 * Creates the directories of a new sandbox. Other host users cannot access what its root owns; parent
 * directories can only be traversed.
 *
 * @param ids of its files; its agent writes to a directory with those of its processes
 */
export async function makeSandboxDirectories(
  paths: SandboxPaths,
  ids: { disk: IdMap; sandbox: IdMap },
  base: Base,
  owners: BaseLayers['owners'],
): Promise<void> {
  const asRoot = ids.disk.kind === 'root';
  const passable = asRoot ? 0o711 : 0o700;
  const own = (path: string) => (asRoot ? chown(path, ids.disk.hostUid, ids.disk.hostGid) : null);
  const rootfs = join(paths.bundle, 'rootfs');
  await mkdir(paths.bundle, { mode: passable });
  await chmod(paths.bundle, passable);
  await Promise.all([mkdir(paths.commands, { mode: 0o700 }), mkdir(paths.runtime, { mode: 0o700 })]);
  await mkdir(paths.agent, { mode: 0o700 });
  if (asRoot) await chown(paths.agent, ids.sandbox.hostUid, ids.sandbox.hostGid);

  await mkdir(rootfs);
  await chmod(rootfs, 0o755);
  const layered = base.directories.map(({ name }) => name);
  const atTop = base.directories.flatMap(({ name, place = name }) => (place === name ? [name] : []));
  const mountPoints = [...MOUNT_POINTS, ...atTop];
  await Promise.all(mountPoints.map((name) => mkdir(join(rootfs, name))));
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
      if (inherited !== undefined && asRoot) await chown(upper, inherited.uid, inherited.gid);
      // An overlay shows the upper directory's own mode as that of the merged one.
      await chmod(upper, inherited?.mode ?? MODES[name] ?? 0o755);
    }),
  );
  if (layered.includes('etc')) await addLoginProfile(paths.upper, own);
  const hasVariable = base.directories.some(({ name, base: bottom }) => name === 'var' && bottom !== null);
  if (!hasVariable && base.directories.some(({ place }) => place === DPKG_DATABASE)) {
    for (const directory of PACKAGE_DIRECTORIES) await makeBelow(paths.upper, directory, own);
  }
}

/** Where login shells of every distribution look for scripts; the name sorts behind those of packages. */
const LOGIN_PROFILE = 'etc/profile.d/zz-sandbox-mcp.sh';
/**
 * From the environment that the shell was started with, because `/etc/profile` has replaced the variable by
 * now.
 */
const LOGIN_SCRIPT = `# Login shells keep the PATH that they were started with; /etc/profile sets another.
_path=$(tr '\\0\\n' '\\n ' < "/proc/$$/environ" 2> /dev/null | sed -n '/^PATH=./{s/^PATH=//p;q;}')
if [ -n "$_path" ]; then
  PATH=$_path
  export PATH
fi
unset _path
`;

/**
 * In the sandbox's own layer, so that it holds on the host's files, on every image and on older snapshots.
 */
async function addLoginProfile(upper: string, own: (path: string) => Promise<void> | null): Promise<void> {
  await makeBelow(upper, dirname(LOGIN_PROFILE), own);
  const file = join(upper, LOGIN_PROFILE);
  await writeFile(file, LOGIN_SCRIPT, { mode: 0o644 });
  await chmod(file, 0o644);
  await own(file);
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
