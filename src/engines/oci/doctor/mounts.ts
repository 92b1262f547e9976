import type { Finding } from '../../engine.ts';
import { type MountsBy, RUNTIME_MOUNT_LIMITATIONS } from '../host/overlay-probe.ts';
import { advise, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/** What sudo and rename can do with the directories that a sandbox does not make itself. */
export function mountFindings(facts: HostFacts, mounts: MountsBy): Finding[] {
  if (mounts === 'by-root') {
    return [
      ok('System directories belong to the root of the sandbox, and directories of theirs can be renamed'),
    ];
  }
  // Nothing is amiss for a user: this is as far as the kernel lets them go.
  if (!facts.isRoot) return RUNTIME_MOUNT_LIMITATIONS.map((text) => ok(text));
  return RUNTIME_MOUNT_LIMITATIONS.map((text) =>
    advise(
      'warning',
      text,
      'Id-mapped mounts and overlays with redirect_dir did not work: they need Linux 5.19 or later, and the state ' +
        'directory and /usr on file systems such as ext4, xfs or btrfs, not on an overlay.',
    ),
  );
}
