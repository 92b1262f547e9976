import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { existingLocalPath, type LocalBounds, newLocalPath } from '../../../tools/transfers/local-path.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** `home/allowed` may be named, `home/secret` may not; the state directory lies inside the allowed folder. */
async function folders(): Promise<{ allowed: string; secret: string; bounds: LocalBounds }> {
  const home = await temporaryFolder();
  const [allowed, secret] = [join(home, 'allowed'), join(home, 'secret')];
  await mkdir(join(allowed, 'sub'), { recursive: true });
  await mkdir(join(allowed, 'state'));
  await mkdir(secret);
  await writeFile(join(allowed, 'file'), 'x');
  await writeFile(join(allowed, 'state', 'record'), 'x');
  await writeFile(join(secret, 'key'), 'x');
  await symlink(secret, join(allowed, 'out'));
  await symlink('sub', join(allowed, 'in'));
  await symlink(join(secret, 'key'), join(allowed, 'key-link'));
  await symlink(join(secret, 'nowhere'), join(allowed, 'dangling'));
  await symlink('loop', join(allowed, 'loop'));
  return { allowed, secret, bounds: { allowDirs: [allowed], stateDir: join(allowed, 'state') } };
}

describe('existingLocalPath', () => {
  it('resolves relative, absolute and linked paths inside', async () => {
    const { allowed, bounds } = await folders();
    expect(await existingLocalPath('file', bounds)).toBe(join(allowed, 'file'));
    expect(await existingLocalPath(join(allowed, 'sub'), bounds)).toBe(join(allowed, 'sub'));
    expect(await existingLocalPath('in', bounds)).toBe(join(allowed, 'sub'));
    expect(await existingLocalPath('.', bounds)).toBe(allowed);
  });

  it.each([
    '/etc/passwd',
    '..',
    '../secret/key',
    'sub/../../secret',
    'out',
    'out/key',
    'key-link',
    '../not-there',
    'state/record',
    'state',
    'out/not-there',
  ])('rejects %s', async (path) => {
    const { bounds } = await folders();
    await expect(existingLocalPath(path, bounds)).rejects.toMatchObject({
      code: 'permission',
      hint: expect.stringContaining(bounds.allowDirs[0] ?? ''),
    });
  });

  it.each(['state', 'state/record', 'to-state/record', 'state/not-there'])(
    'rejects %s because it is inside the server’s own directory',
    async (path) => {
      const { allowed, bounds } = await folders();
      await symlink('state', join(allowed, 'to-state'));
      const own = { code: 'permission', message: expect.stringContaining("server's state directory") };
      await expect(existingLocalPath(path, bounds)).rejects.toMatchObject(own);
      const aliased = { ...bounds, stateDir: join(allowed, 'to-state') };
      await expect(existingLocalPath(path, aliased)).rejects.toMatchObject(own);
    },
  );

  it('rejects a folder whose name starts like an allowed one', async () => {
    const { allowed, bounds } = await folders();
    await mkdir(`${allowed}-not`);
    await expect(existingLocalPath(`${allowed}-not`, bounds)).rejects.toMatchObject({ code: 'permission' });
  });

  it('reports what is missing inside', async () => {
    const { bounds } = await folders();
    await expect(existingLocalPath('nothing', bounds)).rejects.toMatchObject({ code: 'not_found' });
    await expect(existingLocalPath('dangling', bounds)).rejects.toMatchObject({ code: 'not_found' });
    await expect(existingLocalPath('file/below', bounds)).rejects.toMatchObject({ code: 'not_found' });
    await expect(existingLocalPath('loop', bounds)).rejects.toMatchObject({ code: 'permission' });
  });

  it('allows nothing if no folder is allowed', async () => {
    await expect(existingLocalPath('/tmp', { allowDirs: [], stateDir: '/s' })).rejects.toMatchObject({
      code: 'permission',
      hint: expect.stringContaining('--allow-dir'),
    });
  });
});

describe('newLocalPath', () => {
  it('resolves the parents, existing or not, and keeps the last name', async () => {
    const { allowed, bounds } = await folders();
    expect(await newLocalPath('new', bounds)).toBe(join(allowed, 'new'));
    expect(await newLocalPath('in/a/b', bounds)).toBe(join(allowed, 'sub/a/b'));
    expect(await newLocalPath('key-link', bounds)).toBe(join(allowed, 'key-link'));
  });

  it.each(['/etc/cron.d/x', '../new', 'out/new', 'out', 'sub/../../new', '.', 'state/new'])(
    'rejects %s',
    async (path) => {
      const { bounds } = await folders();
      const outcome = newLocalPath(path, bounds);
      // A link as the last component is replaced, not followed.
      if (path === 'out') await expect(outcome).resolves.toBe(join(bounds.allowDirs[0] ?? '', 'out'));
      else await expect(outcome).rejects.toMatchObject({ code: 'permission' });
    },
  );
});
