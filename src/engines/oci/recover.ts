/** Cleans up after processes that ended in the middle of something. Every step may be done twice. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../../shared/errors.ts';
import { isAbandonedTemporary } from '../../shared/fs/atomic-file.ts';
import { pathExists } from '../../shared/fs/path-exists.ts';
import { identify } from '../../shared/process-identity.ts';
import type { OciContext } from './context.ts';
import type { Host } from './host/host.ts';
import { removeTrees } from './host/remove-tree.ts';
import { reconcileRecord } from './sandbox/reconcile.ts';
import {
  listSandboxIds,
  listUnfinished,
  PROBE_RUNTIME,
  readRecord,
  updateRecord,
} from './state/sandbox-record.ts';
import { listSnapshotIds } from './state/snapshot-record.ts';
import { collectSnapshots, removeSnapshotLeftovers, templatesOfSnapshots } from './storage/snapshot-gc.ts';

/** Directories whose makers died before they were a sandbox's. */
async function removeUnfinished(host: Host): Promise<void> {
  const dead = (await listUnfinished(host.layout)).filter(
    ({ pid, startTime }) => identify(pid)?.startTime !== startTime,
  );
  await removeTrees(
    host.agent,
    host.idMap,
    dead.map(({ path }) => path),
  );
}

/** Half-written files whose writers were killed. */
async function removeTemporaryFiles(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (isAbandonedTemporary(name)) await rm(join(dir, name), { recursive: true, force: true });
  }
}

/** The lock of a process that was killed with it; a living holder's is waited for. */
async function releaseLock(host: Host, sandboxId: string): Promise<void> {
  if (await pathExists(host.layout.sandbox(sandboxId).lock))
    await updateRecord(host.layout, sandboxId, () => null);
}

/** Templates of `/etc` that no record names and that are not this host's present one; half-built ones of dead makers too. */
async function removeOldTemplates(host: Host, used: Set<string>): Promise<void> {
  for (const name of await readdir(host.layout.etcTemplates)) {
    const stays = name.startsWith('.')
      ? !isAbandonedTemporary(name)
      : name === host.etcTemplate || used.has(name);
    if (!stays) await removeTrees(host.agent, host.idMap, [join(host.layout.etcTemplates, name)]);
  }
}

/** Expired and unused snapshots go, and then what only they needed. A damaged record keeps all that it might stand on. */
async function recoverSnapshots(context: OciContext, host: Host, templates: Set<string>): Promise<void> {
  try {
    await removeSnapshotLeftovers(host);
    await collectSnapshots(context);
    for (const id of await listSnapshotIds(host.layout))
      await removeTemporaryFiles(host.layout.snapshot(id).dir);
    for (const template of await templatesOfSnapshots(host)) templates.add(template);
    await removeOldTemplates(host, templates);
  } catch (error) {
    context.log.error({ err: error }, 'unused snapshots could not be looked for; all are left as they are');
  }
}

/**
 * Settles every sandbox of this state directory and answers those that had ended unnoticed. A damaged record is
 * logged and left alone; the others go on.
 */
export async function recoverAll(context: OciContext, signal: AbortSignal): Promise<string[]> {
  const host = await context.host();
  await removeUnfinished(host);
  await host.images.sweep();
  for (const dir of [host.layout.stateDir, host.layout.binaries, host.layout.trash])
    await removeTemporaryFiles(dir);
  const settled: string[] = [];
  const templates = new Set<string>();
  for (const sandboxId of await listSandboxIds(host.layout)) {
    throwIfCancelled(signal);
    try {
      const before = await readRecord(host.layout, sandboxId);
      const after = await reconcileRecord(context, sandboxId);
      if (after.endedAt === null) {
        templates.add(after.etcTemplate);
        // One that a dead server left alive ends under the eyes of this one.
        context.expiry.watch(sandboxId, after.expiresAt);
      }
      const paths = host.layout.sandbox(sandboxId);
      if (after.runtime === PROBE_RUNTIME) {
        // A trial that its maker did not survive; nobody asks for its record. A living maker removes it itself.
        if (after.endedAt !== null) await removeTrees(host.agent, host.idMap, [paths.dir]);
        continue;
      }
      if (before.endedAt === null && after.endedAt !== null) settled.push(sandboxId);
      await releaseLock(host, sandboxId);
      await removeTemporaryFiles(paths.dir);
    } catch (error) {
      context.log.error({ sandboxId, err: error }, 'a sandbox could not be looked at; it is left as it is');
    }
  }
  await recoverSnapshots(context, host, templates);
  return settled;
}
