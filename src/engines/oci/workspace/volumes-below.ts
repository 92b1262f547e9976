import { SandboxError } from '../../../shared/errors.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import type { WorkspaceRequest } from '../../engine.ts';
import { FolderCursor } from '../../workspace/folder-cursor.ts';

/**
 * Checks that the runtime need not create a mount point in the folder of the host: for a live workspace it
 * would, and a read-only one takes none.
 *
 * @throws `invalid_argument` for a volume whose directory is missing in the folder
 */
export async function checkVolumesBelow(
  { path: workspacePath, mode, localPath }: WorkspaceRequest,
  folder: HostDirectory,
  volumes: readonly { name: string; path: string }[],
): Promise<void> {
  if (mode === 'copy-on-write') return;
  const cursor = new FolderCursor(folder);
  try {
    for (const { name, path } of volumes) {
      if (!path.startsWith(`${workspacePath}/`)) continue;
      const below = path.slice(workspacePath.length + 1);
      if ((await cursor.stats(below))?.isDirectory()) continue;
      throw new SandboxError(
        'invalid_argument',
        `Volume "${name}" cannot be mounted at ${path}: the folder ${localPath} has no directory ${JSON.stringify(below)}, and a ${mode} workspace gets none from the sandbox.`,
        {
          hint: 'Create the directory, mount the volume beside the workspace, or use mode copy-on-write.',
          details: { volume: name, path, workspace: workspacePath },
        },
      );
    }
  } finally {
    await cursor.close();
  }
}
