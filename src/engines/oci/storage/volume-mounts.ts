/** Where named volumes appear in a sandbox. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { AGENT_NAME, isMountPoint } from '../host/system-directories.ts';
import type { MountedVolume } from '../state/sandbox-record.ts';
import type { StateLayout } from '../state/state-layout.ts';
import { volumePaths } from '../state/volume-record.ts';
import type { Base } from './base-layers.ts';
import type { MappedDirectories } from './mapped-directories.ts';
import type { Mount } from './overlay-layers.ts';

type Place = Pick<MountedVolume, 'name' | 'path'>;

/**
 * Checks that a volume would hide no system directory, and that its path leads through none that every
 * sandbox has of its own.
 *
 * @throws `invalid_argument`
 */
export function checkMountPath(base: Base, { name, path }: Place): void {
  const [top = '', ...rest] = path.split('/').slice(1);
  const exists = base.directories.some((directory) => directory.name === top);
  const isLink = base.links.some((link) => link.name === top);
  if (!isMountPoint(top) && top !== AGENT_NAME && !isLink && (rest.length > 0 || !exists)) return;
  throw new SandboxError('invalid_argument', `Volume "${name}" cannot be mounted at ${path}.`, {
    hint: 'Choose a directory of its own, such as /data, or one below /home, /opt, /srv, /var or /vercel.',
    details: { volume: name, path },
  });
}

/**
 * Creates the mount points outside of the top-level directories; the runtime creates those inside, as
 * directories of the sandbox's root. The paths were checked, and `rootfs` holds nothing of a sandbox yet.
 */
export async function makeMountPoints(rootfs: string, base: Base, volumes: readonly Place[]): Promise<void> {
  for (const volume of volumes) {
    checkMountPath(base, volume);
    const parts = volume.path.split('/').slice(1);
    if (base.directories.some(({ name }) => name === parts[0])) continue;
    let path = rootfs;
    for (const part of parts) {
      path = join(path, part);
      try {
        await mkdir(path);
      } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST') throw error;
      }
      // mkdir applies the umask.
      await chmod(path, 0o755);
    }
  }
}

/** The runtime's mounts. It never resolves a path outside of the sandbox's root directory. */
export function volumeMounts(
  layout: StateLayout,
  mapped: MappedDirectories,
  volumes: readonly MountedVolume[],
): Mount[] {
  return volumes.map(({ id, path, readOnly }) => ({
    destination: path,
    type: 'bind',
    source: mapped.forRuntime(volumePaths(layout, id).data),
    options: ['bind', ...(readOnly ? ['ro'] : []), 'nosuid', 'nodev'],
  }));
}
