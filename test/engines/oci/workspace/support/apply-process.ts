/**
 * Applies a fixed set of changes, and ends itself with SIGKILL at a step: `apply-process.ts HOME STEP`. Prints
 * `done` and the number of steps if it comes to the end.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StateLayout } from '../../../../../src/engines/oci/state/state-layout.ts';
import { applyChanges } from '../../../../../src/engines/oci/workspace/apply.ts';
import { FolderCursor } from '../../../../../src/engines/oci/workspace/folder-cursor.ts';
import { HostDirectory } from '../../../../../src/shared/fs/host-directory.ts';
import { CHANGES } from './changes.ts';

const [home = '', step = ''] = process.argv.slice(2);
const localPath = join(home, 'folder');
const { dev, ino } = await stat(localPath);
const folder = await HostDirectory.open(localPath);
const upper = await HostDirectory.open(join(home, 'upper'));
let steps = 0;
const record = {
  localPath,
  path: '/vercel/sandbox',
  mode: 'copy-on-write' as const,
  hidden: '',
  folder: `${dev}:${ino}`,
  mountedNs: '0',
};
await applyChanges(
  new StateLayout(join(home, 'state')),
  'sbx_222222222222',
  {
    record,
    upperPath: upper.path,
    folder: new FolderCursor(folder),
    upper: new FolderCursor(upper),
    applied: {},
  },
  CHANGES,
  new AbortController().signal,
  () => {
    if (steps === Number(step)) process.kill(process.pid, 'SIGKILL');
    steps += 1;
  },
);
process.stdout.write(`done ${steps}\n`);
