import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IdMap } from '../../../../src/engines/oci/host/id-map.ts';
import { removeTrees } from '../../../../src/engines/oci/host/remove-tree.ts';

const ROOT: IdMap = {
  ...{ kind: 'root', uid: 0, gid: 0, hostUid: 0, hostGid: 0 },
  ...{ uidMappings: [], gidMappings: [] },
};
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trees-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A tree of this many files, in a directory in which another one is empty. */
function tree(name: string, files: number): string {
  const path = join(folder, name);
  mkdirSync(join(path, 'deep/empty'), { recursive: true });
  for (let index = 0; index < files; index += 1) writeFileSync(join(path, 'deep', `f${index}`), '');
  return path;
}

const remove = (...paths: string[]) => removeTrees('no agent', ROOT, paths);

describe('removing trees', () => {
  it.each([3, 500])('removes all of several with %i files, and what is gone already', async (files) => {
    const kept = tree('kept', 1);
    await remove(tree('one', files), join(folder, 'not there'), tree('other', files));
    expect(readdirSync(folder)).toEqual(['kept']);
    expect(existsSync(join(kept, 'deep/f0'))).toBe(true);
  });

  it('removes files that are large', async () => {
    const path = tree('large', 1);
    writeFileSync(join(path, 'deep/large'), Buffer.alloc(17 * 1_048_576, 1));
    await remove(path);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('follows no link, neither inside nor as what is to be removed', async () => {
    const kept = tree('kept', 2);
    const removed = tree('removed', 1);
    symlinkSync(kept, join(removed, 'link'));
    symlinkSync(kept, join(folder, 'link'));
    await remove(removed, join(folder, 'link'));
    expect(readdirSync(folder)).toEqual(['kept']);
    expect(readdirSync(join(kept, 'deep')).sort()).toEqual(['empty', 'f0', 'f1']);
  });

  it('removes files, and names that are not text', async () => {
    const path = tree('odd', 1);
    writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0xfe])]), '');
    writeFileSync(join(folder, 'file'), '');
    await remove(path, join(folder, 'file'));
    expect(readdirSync(folder)).toEqual([]);
  });

  it('rejects if something remains', async () => {
    await expect(remove('/proc/self/task')).rejects.toThrow('could not remove');
  });
});
