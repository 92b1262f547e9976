import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FolderCursor } from '../../../../../src/engines/oci/workspace/folder-cursor.ts';
import type { OpenWorkspace } from '../../../../../src/engines/oci/workspace/open-workspace.ts';
import { HostDirectory } from '../../../../../src/shared/fs/host-directory.ts';

/** A workspace whose sides are `folder` and `upper` in a directory. They are created if they are missing. */
export async function openSides(home: string): Promise<OpenWorkspace & { close(): Promise<void> }> {
  const [localPath, upperPath] = [join(home, 'folder'), join(home, 'upper')];
  for (const side of [localPath, upperPath]) mkdirSync(side, { recursive: true });
  const directories = {
    folder: await HostDirectory.open(localPath),
    upper: await HostDirectory.open(upperPath),
  };
  const folder = new FolderCursor(directories.folder);
  const upper = new FolderCursor(directories.upper);
  const { dev, ino } = statSync(localPath);
  return {
    record: {
      localPath,
      path: '/vercel/sandbox',
      mode: 'copy-on-write',
      hidden: '',
      folder: `${dev}:${ino}`,
      mountedNs: String(10n ** 19n),
    },
    upperPath,
    folder,
    upper,
    applied: {},
    close: async () => {
      for (const each of [folder, upper, directories.folder, directories.upper]) await each.close();
    },
  };
}
