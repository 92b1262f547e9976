/** The records of named volumes. A volume exists while its record does; its directory is complete by then. */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import { STATE_FORMAT, type StateLayout } from './state-layout.ts';

const SUFFIX = '.json';
const ID = /^vol_[0-9a-f]{32}$/;

const volumeSchema = z.strictObject({
  format: z.literal(STATE_FORMAT),
  owner: z.string(),
  name: z.string(),
  createdAt: z.number(),
  /** The id mapping that its files were written under. */
  ids: z.string(),
});
export type VolumeRecord = z.output<typeof volumeSchema>;

/** Derived from owner and name, neither of which becomes a path. */
export function volumeId(owner: string, name: string): string {
  return `vol_${createHash('sha256')
    .update(JSON.stringify([owner, name]))
    .digest('hex')
    .slice(0, 32)}`;
}

/** True for the id of a volume, which is safe as the name of a file. */
export function isVolumeId(id: string): boolean {
  return ID.test(id);
}

/** The directory that only root and the sandbox's root can pass, and in it the one that sandboxes mount. */
export function volumePaths(layout: StateLayout, id: string): { dir: string; data: string; record: string } {
  if (!isVolumeId(id)) throw new Error(`${JSON.stringify(id)} is not the id of a volume`);
  const dir = join(layout.volumes, id);
  return { dir, data: join(dir, 'data'), record: `${dir}${SUFFIX}` };
}

/** Null if there is no such volume. @throws SandboxError `server` for a damaged record */
export async function readVolume(layout: StateLayout, id: string): Promise<VolumeRecord | null> {
  try {
    return volumeSchema.parse(JSON.parse(await readFile(volumePaths(layout, id).record, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw new SandboxError('server', `The record of the volume ${id} is damaged or of another version.`, {
      hint: `Use another volume. The operator can remove ${id}${SUFFIX} and ${id} from the volumes of the state directory.`,
      cause: error,
    });
  }
}

export async function writeVolume(layout: StateLayout, id: string, record: VolumeRecord): Promise<void> {
  await writeFileAtomic(volumePaths(layout, id).record, `${JSON.stringify(record)}\n`, 0o600);
}

/** From then on the volume does not exist, whatever happens to its files. */
export async function removeVolumeRecord(layout: StateLayout, id: string): Promise<void> {
  await rm(volumePaths(layout, id).record, { force: true });
}

/** The ids of all volumes, in no particular order. */
export async function listVolumeIds(layout: StateLayout): Promise<string[]> {
  return (await listDirectory(layout.volumes))
    .filter((entry) => entry.endsWith(SUFFIX))
    .map((entry) => entry.slice(0, -SUFFIX.length))
    .filter(isVolumeId);
}

/** Directories without a record: of volumes whose creation or removal did not finish. */
export async function listAbandonedVolumes(layout: StateLayout): Promise<string[]> {
  const entries = await listDirectory(layout.volumes);
  return entries.filter((entry) => isVolumeId(entry) && !entries.includes(`${entry}${SUFFIX}`));
}
