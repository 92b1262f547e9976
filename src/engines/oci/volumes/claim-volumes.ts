/** Volumes for a new sandbox: created when they are first named, and in use from its record on. */
import { chmod, chown, mkdir } from 'node:fs/promises';
import { SandboxError } from '../../../shared/errors.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import { makeDirectory } from '../../../shared/fs/state-directory.ts';
import type { VolumeMount } from '../../engine.ts';
import { directoryMode } from '../host/directory-mode.ts';
import type { Host } from '../host/host.ts';
import { findProgram } from '../host/host-program.ts';
import { idsOf } from '../host/id-map.ts';
import { removeTrees } from '../host/remove-tree.ts';
import { runInUserns } from '../host/userns-program.ts';
import type { MountedVolume } from '../state/sandbox-record.ts';
import { STATE_FORMAT } from '../state/state-layout.ts';
import { listVolumeIds, readVolume, volumeId, volumePaths, writeVolume } from '../state/volume-record.ts';

/** The volumes of a request, as a sandbox's record lists them. */
export function mountedVolumes(mounts: readonly VolumeMount[]): MountedVolume[] {
  return mounts.map(({ owner, name, path, readOnly }) => ({
    id: volumeId(owner, name),
    name,
    path,
    readOnly,
  }));
}

/**
 * Makes sure that these volumes exist, then runs `claim`, which writes the record of the sandbox that uses
 * them. No volume is removed in between.
 *
 * @param maxVolumes how many volumes an owner may have
 * @throws `limit_exceeded`; `conflict` for a volume written with other user ids
 */
export async function claimVolumes<Result>(
  host: Host,
  mounts: readonly VolumeMount[],
  maxVolumes: number,
  claim: () => Promise<Result>,
): Promise<Result> {
  if (mounts.length === 0) return claim();
  await makeDirectory(host.layout.volumes, directoryMode(host));
  // mkdir applies the umask.
  await chmod(host.layout.volumes, directoryMode(host));
  return withFileLock(host.layout.volumesLock, async () => {
    for (const mount of mounts) await ensureVolume(host, mount, maxVolumes);
    return claim();
  });
}

async function ensureVolume(host: Host, { owner, name }: VolumeMount, maxVolumes: number): Promise<void> {
  const { layout, diskIds } = host;
  const id = volumeId(owner, name);
  const present = await readVolume(layout, id);
  if (present !== null) {
    if (present.ids === idsOf(diskIds)) return;
    throw new SandboxError('conflict', `Volume "${name}" was written with different user ids.`, {
      hint: 'Use another volume. The operator can restore the lines of /etc/subuid that it was written with.',
      details: { volume: name },
    });
  }
  await requireRoom(host, owner, name, maxVolumes);
  const { dir, data } = volumePaths(layout, id);
  // Of an earlier volume of that name whose creation or removal did not finish.
  await removeTrees(host.agent, diskIds, [dir]);
  await mkdir(dir, { mode: 0o700 });
  if (diskIds.kind === 'root') await chown(dir, diskIds.hostUid, diskIds.hostGid);
  await mkdir(data);
  await chmod(data, 0o755);
  await giveToUser(host, data);
  await writeVolume(layout, id, {
    format: STATE_FORMAT,
    owner,
    name,
    createdAt: Date.now(),
    ids: idsOf(diskIds),
  });
}

async function requireRoom(host: Host, owner: string, name: string, maxVolumes: number): Promise<void> {
  const records = await Promise.all(
    (await listVolumeIds(host.layout)).map((id) => readVolume(host.layout, id)),
  );
  const own = records.filter((record) => record?.owner === owner).map((record) => record?.name);
  if (own.length < maxVolumes) return;
  throw new SandboxError(
    'limit_exceeded',
    `There are ${own.length} volumes; "${name}" would be one too many.`,
    {
      hint: `Use one of these: ${own.join(', ')}. The operator can remove some with \`sandbox-mcp volume remove\`.`,
      details: { volumes: own, max_volumes: maxVolumes },
    },
  );
}

/** Makes the user that runs commands in every sandbox the owner of an empty directory. */
async function giveToUser({ agent, diskIds }: Host, path: string): Promise<void> {
  const { kind, hostUid, hostGid, uid, gid } = diskIds;
  if (kind === 'root') return chown(path, hostUid + uid, hostGid + gid);
  if (kind === 'single') return;
  const program = findProgram('chown');
  if (program === null) throw new Error('this host has no chown');
  const { exitCode, output } = await runInUserns(agent, diskIds, program, [`${uid}:${gid}`, path]);
  if (exitCode !== 0) throw new Error(`chown failed: ${output.trim()}`);
}
