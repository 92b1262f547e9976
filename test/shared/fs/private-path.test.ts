import { chmod, chown, mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findSharedDirectory, requirePrivatePath } from '../../../src/shared/fs/private-path.ts';
import { needs } from '../../support/needs.ts';

let folder = '';

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'private-')));
  await mkdir(join(folder, 'parent/state'), { recursive: true });
});

afterEach(() => rm(folder, { recursive: true }));

const isRoot = process.getuid?.() === 0;

describe('a state directory', () => {
  it('may be below a sticky directory such as /tmp, and need not exist yet', async () => {
    expect(findSharedDirectory(join(folder, 'parent/state'))).toBeNull();
    expect(findSharedDirectory(join(folder, 'parent/state/not/yet'))).toBeNull();
    await chmod(join(folder, 'parent'), 0o1777);
    expect(findSharedDirectory(join(folder, 'parent/state'))).toBeNull();
  });

  it.each([
    ['itself may be written to by every user', 'parent/state', 0o777],
    ['itself may be written to by every user, though sticky', 'parent/state', 0o1777],
    ['has a parent that every user may write to', 'parent', 0o777],
  ])('is refused if it %s', async (_, name, mode) => {
    await chmod(join(folder, name), mode);
    const problem = 'may be written to by every user';
    expect(findSharedDirectory(join(folder, 'parent/state'))).toEqual({
      path: join(folder, name),
      problem,
    });
    expect(() => requirePrivatePath(join(folder, 'parent/state'))).toThrow(
      expect.objectContaining({ code: 'unavailable', hint: expect.stringContaining('doctor') }),
    );
  });

  it('is refused behind a link if what the link leads to is open', async () => {
    await chmod(join(folder, 'parent'), 0o777);
    await symlink(join(folder, 'parent/state'), join(folder, 'link'));
    expect(findSharedDirectory(join(folder, 'link'))).toMatchObject({ path: join(folder, 'parent') });
  });

  describe('of another user', needs('root, to make files of another user', isRoot), () => {
    it.each(['parent/state', 'parent'])('is refused: %s', async (name) => {
      await chown(join(folder, name), 4_242, 4_242);
      expect(findSharedDirectory(join(folder, 'parent/state'))).toEqual({
        path: join(folder, name),
        problem: 'belongs to user 4242',
      });
    });

    it('is refused if a group may write to it', async () => {
      await chown(join(folder, 'parent'), 0, 4_242);
      await chmod(join(folder, 'parent'), 0o775);
      expect(findSharedDirectory(join(folder, 'parent/state'))).toMatchObject({
        problem: 'may be written to by group 4242',
      });
    });
  });
});
