import type { Finding } from '../../engine.ts';
import { type MountsBy, RUNTIME_MOUNT_LIMITATIONS, SHARED_IDS } from '../host/probe/overlay-probe.ts';
import { advise, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** What sudo and rename(2) can do with directories of the host or an image, and who owns files on disk. */
export function mountFindings(
  facts: HostFacts,
  { mounts, separateIds }: { mounts: MountsBy; separateIds: boolean },
): Finding[] {
  if (mounts === 'by-root') {
    const text = 'System directories belong to the sandbox’s root, and their subdirectories can be renamed';
    return [ok(text), separateIds ? ok('Each sandbox has user ids of its own on the host') : sharedIds()];
  }
  // Not a problem for an ordinary user: the kernel allows them no more.
  if (!facts.isRoot) return RUNTIME_MOUNT_LIMITATIONS.map((text) => ok(text));
  return [...RUNTIME_MOUNT_LIMITATIONS, SHARED_IDS].map((text) =>
    advise(
      'warning',
      text,
      'Id-mapped mounts and overlays with redirect_dir do not work here: they need Linux 5.19 or later, and the state ' +
        'directory and /usr on file systems such as ext4, xfs or btrfs, not on an overlay.',
    ),
  );
}

function sharedIds(): Finding {
  const advice =
    'Overlays do not work here on id-mapped mounts of the state directory: put all of it on one file system such as ' +
    'ext4, xfs or btrfs.';
  return advise('warning', SHARED_IDS, advice);
}
