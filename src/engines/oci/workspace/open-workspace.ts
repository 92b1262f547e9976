/** Opens the copy-on-write workspace that a sandbox has mounted: the folder, and the sandbox's upper layer. */
import { join } from 'node:path';
import { SandboxError } from '../../../shared/errors.ts';
import { HostDirectory } from '../../../shared/fs/host-directory.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import { readApplied } from '../../workspace/applied.ts';
import { reopenWorkspaceFolder } from '../../workspace/folder.ts';
import { FolderCursor } from '../../workspace/folder-cursor.ts';
import type { OpenWorkspace } from '../../workspace/open-workspace.ts';
import { requireKeepsChanges } from '../../workspace/require-changes.ts';
import type { Host } from '../host/host.ts';
import { readRecord, type SandboxRecord } from '../state/sandbox-record.ts';
import { MountedFolder, UpperLayer } from './overlay-sides.ts';

/** @throws `conflict` unless the sandbox runs and has a copy-on-write workspace whose folder still exists */
export async function withWorkspace<Result>(
  host: Host,
  { sandboxId, status, workspace }: SandboxRecord,
  work: (open: OpenWorkspace) => Promise<Result>,
): Promise<Result> {
  const record = requireKeepsChanges(sandboxId, status, workspace);
  const { layout, agent } = host;
  const paths = layout.sandbox(sandboxId);
  const directory = await reopenWorkspaceFolder(record.localPath, record.folder);
  const folder = new FolderCursor(directory);
  try {
    const upper = await HostDirectory.open(join(paths.workspace, 'upper'));
    const sandbox = new UpperLayer(upper, agent);
    try {
      return await work({
        sandboxId,
        record,
        folder,
        sandbox,
        seen: new MountedFolder(folder, BigInt(record.mountedNs)),
        applied: await readApplied(paths.applied),
        appliedFile: paths.applied,
        journals: layout.journals,
        requireAlive: () => requireAlive(host, sandboxId),
      });
    } finally {
      await sandbox.close();
      await upper.close();
    }
  } finally {
    await folder.close();
    await directory.close();
  }
}

async function requireAlive({ layout }: Host, sandboxId: string): Promise<void> {
  const { status, init } = await readRecord(layout, sandboxId);
  if (status === 'running' && init !== null && isProcessAlive(init)) return;
  throw new SandboxError(
    'conflict',
    `Sandbox ${sandboxId} has ended: its changes were neither listed nor applied.`,
    {
      hint: 'Call sandbox_create.',
      details: { sandbox_id: sandboxId },
    },
  );
}
