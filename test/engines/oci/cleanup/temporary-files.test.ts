import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { removeTemporaryFiles } from '../../../../src/engines/oci/cleanup/temporary-files.ts';
import type { IdMap } from '../../../../src/engines/oci/host/id-map.ts';
import { temporaryName } from '../../../../src/shared/fs/atomic-file.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'temporary-files-'));
});
afterAll(() => rmSync(root, { recursive: true }));

const diskIds: IdMap = {
  kind: 'root',
  uidMappings: [],
  gidMappings: [],
  hostUid: 0,
  hostGid: 0,
  uid: 0,
  gid: 0,
};
const host = { agent: '/nowhere', diskIds };
const DEAD = `.${process.pid}-0-0123456789ab.tmp`;

it('removes files and trees of dead processes, and nothing else', async () => {
  const live = temporaryName('live');
  mkdirSync(join(root, `vol_1${DEAD}`, 'data'), { recursive: true });
  for (const name of [`vol_1${DEAD}/data/x`, `a.json${DEAD}`, 'a.json', live])
    writeFileSync(join(root, name), '');
  mkdirSync(join(root, 'kept'));
  symlinkSync('kept', join(root, `link${DEAD}`));
  await removeTemporaryFiles(host, root);
  expect(readdirSync(root).sort()).toEqual(['a.json', 'kept', live]);
});

it('takes a missing directory for an empty one', async () => {
  await expect(removeTemporaryFiles(host, join(root, 'missing'))).resolves.toBeUndefined();
});
