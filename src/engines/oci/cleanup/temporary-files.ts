import { join } from 'node:path';
import { isAbandonedTemporary } from '../../../shared/fs/atomic-file.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import type { Host } from '../host/host.ts';
import { removeTrees } from '../host/remove-tree.ts';

/**
 * Removes from a directory what was half written or half removed when its process died. A volume being removed
 * has files of the sandboxes' ids. A missing directory is fine.
 */
export async function removeTemporaryFiles(
  { agent, diskIds }: Pick<Host, 'agent' | 'diskIds'>,
  dir: string,
): Promise<void> {
  const abandoned = (await listDirectory(dir)).filter(isAbandonedTemporary);
  await removeTrees(
    agent,
    diskIds,
    abandoned.map((name) => join(dir, name)),
  );
}
