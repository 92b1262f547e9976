/** Recovery: cleans up after processes that died halfway. Every step is idempotent. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../../shared/errors.ts';
import { isAbandonedTemporary } from '../../shared/fs/atomic-file.ts';
import { releaseDeadLock } from '../../shared/fs/file-lock.ts';
import { pathExists } from '../../shared/fs/path-exists.ts';
import { identify } from '../../shared/process-identity.ts';
import { removeTemporaryFiles } from './cleanup/temporary-files.ts';
import type { OciContext } from './context.ts';
import { templateOf } from './host/etc-template.ts';
import type { Host } from './host/host.ts';
import { removeTrees } from './host/remove-tree.ts';
import { removeUnusedLayers } from './images/unused-layers.ts';
import { reconcileRecord } from './sandbox/reconcile.ts';
import {
  isInternal,
  listSandboxIds,
  listUnfinished,
  readRecord,
  updateRecord,
} from './state/sandbox-record.ts';
import { listSnapshotIds } from './state/snapshot-record.ts';
import { collectSnapshots, removeSnapshotLeftovers, templatesOfSnapshots } from './storage/snapshot-gc.ts';

/** Removes directories whose creator died before they became a sandbox. */
async function removeUnfinished(host: Host): Promise<void> {
  const dead = (await listUnfinished(host.layout)).filter(
    ({ pid, startTime }) => identify(pid)?.startTime !== startTime,
  );
  await removeTrees(
    host.agent,
    host.diskIds,
    dead.map(({ path }) => path),
  );
}

/** Releases a lock whose holder was killed; waits for a live holder. */
async function releaseLock(host: Host, sandboxId: string): Promise<void> {
  if (await pathExists(host.layout.sandbox(sandboxId).lock))
    await updateRecord(host.layout, sandboxId, () => null);
}

/**
 * Removes `/etc` templates that no record names and that are not the current one, and half-built ones of dead
 * processes.
 */
async function removeOldTemplates(host: Host, used: Set<string>): Promise<void> {
  for (const name of await readdir(host.layout.etcTemplates)) {
    const stays = name.startsWith('.')
      ? !isAbandonedTemporary(name)
      : templateOf(name) === host.etcTemplate || used.has(templateOf(name));
    if (!stays) await removeTrees(host.agent, host.diskIds, [join(host.layout.etcTemplates, name)]);
  }
}

/**
 * Removes expired and unused snapshots, then what only they needed. A damaged record keeps everything it
 * might depend on.
 */
async function recoverSnapshots(context: OciContext, host: Host, templates: Set<string>): Promise<void> {
  try {
    await removeSnapshotLeftovers(host);
    await collectSnapshots(context);
    for (const id of await listSnapshotIds(host.layout))
      await removeTemporaryFiles(host, host.layout.snapshot(id).dir);
    for (const template of await templatesOfSnapshots(host)) templates.add(template);
    await removeOldTemplates(host, templates);
  } catch (error) {
    context.log.error({ err: error }, 'cannot determine unused snapshots; keeping all of them');
  }
}

/** One thing that cannot be cleaned up must not keep the rest from it. */
async function attempt(context: OciContext, failure: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    context.log.error({ err: error }, failure);
  }
}

/**
 * Reconciles every sandbox of this state directory and returns those that had ended unnoticed. A damaged
 * record is logged and skipped.
 */
export async function recoverAll(context: OciContext, signal: AbortSignal): Promise<string[]> {
  if (!(await context.hasState())) return [];
  const host = await context.host();
  await attempt(context, 'cannot remove sandboxes that were never started', async () => {
    await removeUnfinished(host);
    await releaseDeadLock(host.layout.sandboxesLock);
  });
  throwIfCancelled(signal);
  await attempt(context, 'cannot remove unfinished images', async () => {
    if (await host.images.sweep()) await removeUnusedLayers(host);
  });
  const { stateDir, binaries, trash, volumes, journals } = host.layout;
  for (const dir of [stateDir, binaries, trash, volumes, journals]) {
    await attempt(context, `cannot remove temporary files in ${dir}`, () => removeTemporaryFiles(host, dir));
  }
  const recovered: string[] = [];
  const templates = new Set<string>();
  for (const sandboxId of await listSandboxIds(host.layout)) {
    throwIfCancelled(signal);
    try {
      const before = await readRecord(host.layout, sandboxId);
      const after = await reconcileRecord(context, sandboxId);
      if (after.endedAt === null) {
        templates.add(after.etcTemplate);
        // A sandbox left running by a dead server is watched by this one until it ends.
        context.expiry.watch(sandboxId, after.expiresAt);
      }
      const paths = host.layout.sandbox(sandboxId);
      if (isInternal(after)) {
        // Its creator died; a live one removes it itself.
        if (after.endedAt !== null) await removeTrees(host.agent, host.diskIds, [paths.dir]);
        continue;
      }
      if (before.endedAt === null && after.endedAt !== null) recovered.push(sandboxId);
      await releaseLock(host, sandboxId);
      await removeTemporaryFiles(host, paths.dir);
    } catch (error) {
      context.log.error({ sandboxId, err: error }, 'cannot reconcile a sandbox; leaving it as it is');
    }
  }
  throwIfCancelled(signal);
  await recoverSnapshots(context, host, templates);
  return recovered;
}
