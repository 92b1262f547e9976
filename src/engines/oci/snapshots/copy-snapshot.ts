import { chmod, mkdir } from 'node:fs/promises';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { currentProcess } from '../../../shared/process-identity.ts';
import type { OciContext } from '../context.ts';
import { type Freezer, findFreezer } from '../host/cgroups.ts';
import { copyTree } from '../host/copy-tree.ts';
import { directoryMode } from '../host/directory-mode.ts';
import type { Host } from '../host/host.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { commitCopy, type SnapshotOf, snapshotFailure, stagedPaths } from '../storage/snapshot-commit.ts';
import { endCopy } from './end-copy.ts';
import { whileFrozen } from './freezer.ts';
import { prepareSnapshot, requireRunning } from './take-snapshot.ts';

/**
 * Copies a sandbox's files to a snapshot, whose id it returns, while its processes are frozen. They go on
 * afterwards. A failure or an abort leaves the sandbox as it was.
 *
 * @throws `unsupported` without a freezer; else as `takeSnapshot`
 */
export async function copySnapshot(
  context: OciContext,
  sandboxId: string,
  expirationMs: number | null,
  signal: AbortSignal,
): Promise<string> {
  const { host, snapshot, before } = await prepareSnapshot(context, sandboxId, expirationMs);
  const freezer = findFreezer(before.cgroups);
  if (freezer === null) throw cannotFreeze(sandboxId);
  throwIfCancelled(signal);
  const copying = await updateRecord(host.layout, sandboxId, (record) => {
    requireRunning(record);
    return Promise.resolve({ ...record, snapshot, worker: currentProcess() });
  });
  const record = { ...copying, snapshot };
  try {
    await copy(host, record, freezer);
    return snapshot.snapshotId;
  } catch (error) {
    throw snapshotFailure(sandboxId, error);
  } finally {
    await endCopy(host, context.log, record);
  }
}

async function copy(host: Host, record: SnapshotOf, freezer: Freezer): Promise<void> {
  const staged = stagedPaths(host, record);
  const { upper } = host.layout.sandbox(record.sandboxId);
  await mkdir(staged.dir, { recursive: true });
  await chmod(staged.dir, directoryMode(host));
  await whileFrozen(freezer, () => copyTree(host.agent, host.diskIds, upper, staged.layer));
  await commitCopy(host, record);
}

function cannotFreeze(sandboxId: string): SandboxError {
  return new SandboxError(
    'unsupported',
    'This host has no freezer for sandboxes, which keep_running needs.',
    {
      hint: 'Call sandbox_snapshot without keep_running, then sandbox_create from the snapshot.',
      details: { sandbox_id: sandboxId },
    },
  );
}
