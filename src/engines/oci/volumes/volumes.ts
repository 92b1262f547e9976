/** Volumes of this engine: list them with their users, and remove unused ones. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import type { Volume, Volumes } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { removeTrees } from '../host/remove-tree.ts';
import {
  listAbandonedVolumes,
  listVolumeIds,
  readVolume,
  removeVolumeRecord,
  volumeId,
  volumePaths,
} from '../state/volume-record.ts';
import { countBytes } from '../storage/disk-usage.ts';
import { readSandboxes } from '../storage/snapshot-gc.ts';

export class OciVolumes implements Volumes {
  readonly #context: OciContext;

  constructor(context: OciContext) {
    this.#context = context;
  }

  async list(signal: AbortSignal): Promise<Volume[]> {
    const host = await this.#context.host();
    const users = await usersOfVolumes(host);
    const volumes: Volume[] = [];
    for (const id of await listVolumeIds(host.layout)) {
      const record = await readVolume(host.layout, id);
      if (record === null) continue;
      const { owner, name, createdAt } = record;
      const sizeBytes = await countBytes(host, volumePaths(host.layout, id).data, signal);
      volumes.push({ owner, name, sizeBytes, createdAt, usedBy: users.get(id) ?? [] });
    }
    const key = ({ owner, name }: Volume) => `${owner}\n${name}`;
    return volumes.sort((one, other) => (key(one) < key(other) ? -1 : 1));
  }

  async remove(owner: string, name: string): Promise<void> {
    const host = await this.#context.host();
    const id = volumeId(owner, name);
    if ((await readVolume(host.layout, id)) === null) throw notFound(name);
    const moved = await withFileLock(host.layout.volumesLock, async () => {
      if ((await readVolume(host.layout, id)) === null) throw notFound(name);
      const users = (await usersOfVolumes(host)).get(id) ?? [];
      if (users.length > 0) throw inUse(name, users);
      return moveAway(host, id);
    });
    await removeTrees(host.agent, host.diskIds, [moved]);
  }

  async prune(signal: AbortSignal): Promise<Volume[]> {
    const { layout, agent, diskIds } = await this.#context.host();
    const removed: Volume[] = [];
    for (const volume of await this.list(signal)) {
      throwIfCancelled(signal);
      if (volume.usedBy.length > 0) continue;
      try {
        await this.remove(volume.owner, volume.name);
        removed.push(volume);
      } catch (error) {
        // A sandbox that started meanwhile uses it, or somebody else removed it.
        const passed = error instanceof SandboxError && ['conflict', 'not_found'].includes(error.code);
        if (!passed) throw error;
      }
    }
    if (!(await pathExists(layout.volumes))) return removed;
    await withFileLock(layout.volumesLock, async () => {
      const left = await listAbandonedVolumes(layout);
      await removeTrees(
        agent,
        diskIds,
        left.map((id) => volumePaths(layout, id).dir),
      );
    });
    return removed;
  }
}

/** The active sandboxes that have each volume mounted, by its id. Rejects if a record is damaged. */
async function usersOfVolumes(host: Host): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>();
  for (const { endedAt, volumes, sandboxId } of await readSandboxes(host)) {
    if (endedAt !== null) continue;
    for (const { id } of volumes) users.set(id, [...(users.get(id) ?? []), sandboxId]);
  }
  return users;
}

/** The record goes first: a crash leaves a directory that nothing uses. Returns where the files are now. */
async function moveAway({ layout }: Host, id: string): Promise<string> {
  await removeVolumeRecord(layout, id);
  const target = temporaryName(join(layout.trash, id));
  await rename(volumePaths(layout, id).dir, target);
  return target;
}

function notFound(name: string): SandboxError {
  return new SandboxError('not_found', `There is no volume named ${JSON.stringify(name)}.`, {
    hint: '`sandbox-mcp volume list` shows those that exist.',
    details: { volume: name },
  });
}

function inUse(name: string, users: string[]): SandboxError {
  return new SandboxError('conflict', `Volume "${name}" is in use by ${users.join(', ')}.`, {
    hint: 'Stop these sandboxes first.',
    details: { volume: name, used_by: users },
  });
}
