import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MountedFolder, UpperLayer } from '../../../../src/engines/oci/workspace/overlay-sides.ts';
import { FolderCursor } from '../../../../src/engines/workspace/folder-cursor.ts';
import type { OpenWorkspace } from '../../../../src/engines/workspace/open-workspace.ts';
import { HostDirectory } from '../../../../src/shared/fs/host-directory.ts';

/**
 * A workspace whose sides are `folder` and `upper` in a directory. They are created if they are missing.
 *
 * @param agent the program that lists the upper layer
 */
export async function openSides(
  home: string,
  agent = '/bin/false',
): Promise<OpenWorkspace & { close(): Promise<void> }> {
  const [localPath, upperPath] = [join(home, 'folder'), join(home, 'upper')];
  for (const side of [localPath, upperPath]) mkdirSync(side, { recursive: true });
  const directories = {
    folder: await HostDirectory.open(localPath),
    upper: await HostDirectory.open(upperPath),
  };
  const folder = new FolderCursor(directories.folder);
  const sandbox = new UpperLayer(directories.upper, agent);
  const { dev, ino } = statSync(localPath);
  return {
    sandboxId: 'sbx_222222222222',
    record: {
      localPath,
      path: '/vercel/sandbox',
      mode: 'copy-on-write',
      hidden: '',
      folder: `${dev}:${ino}`,
    },
    folder,
    sandbox,
    seen: new MountedFolder(folder, 10n ** 19n),
    applied: {},
    appliedFile: join(home, 'applied.json'),
    journals: join(home, 'journals'),
    requireAlive: async () => {},
    close: async () => {
      for (const each of [folder, sandbox, directories.folder, directories.upper]) await each.close();
    },
  };
}
