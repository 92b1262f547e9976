import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import type { StateLayout } from '../state/state-layout.ts';
import { runHostProgram } from './host-program.ts';
import type { IdMap } from './id-map.ts';

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

/** Tries root's mounts on the state directory's file system. */
export async function probeMounts(
  layout: StateLayout,
  agent: string,
  idMap: IdMap,
  systemDirectories: string[],
): Promise<MountsBy> {
  const [ids] = idMap.uidMappings;
  if (idMap.kind !== 'root' || ids === undefined) return 'by-runtime';
  const scratch = temporaryName(join(layout.trash, 'probe'));
  await mkdir(scratch);
  // The sandbox's root must traverse it.
  await chmod(scratch, 0o711);
  try {
    const directories = systemDirectories.map((name) => `/${name}`);
    const args = ['probe-mounts', scratch, String(ids.hostID), String(ids.size), ...directories];
    const { exitCode } = await runHostProgram(agent, args);
    return exitCode === 0 ? 'by-root' : 'by-runtime';
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
