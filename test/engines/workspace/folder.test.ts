import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WorkspaceMode } from '../../../src/engines/engine.ts';
import { checkVolumesBelow } from '../../../src/engines/oci/workspace/volumes-below.ts';
import {
  describeFolder,
  openWorkspaceFolder,
  reopenWorkspaceFolder,
  requireSameFolder,
} from '../../../src/engines/workspace/folder.ts';
import { hiddenRules } from '../../../src/engines/workspace/hidden-files.ts';
import { HostDirectory } from '../../../src/shared/fs/host-directory.ts';

let root: string;

beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'folder-')));
  mkdirSync(join(root, 'project'));
  writeFileSync(join(root, 'file'), '');
  symlinkSync('project', join(root, 'link'));
});
afterAll(() => rmSync(root, { recursive: true }));

const open = (localPath: string) =>
  openWorkspaceFolder({ localPath, path: '/vercel/sandbox', mode: 'copy-on-write' });

describe('a volume below a workspace', () => {
  it('gets no directory of its own in the folder of the host', async () => {
    mkdirSync(join(root, 'project/data/inner'), { recursive: true });
    symlinkSync('data', join(root, 'project/linked'));
    const folder = await HostDirectory.open(join(root, 'project'));
    const check = (mode: WorkspaceMode, path: string) =>
      checkVolumesBelow({ localPath: join(root, 'project'), path: '/home/me', mode }, folder, [
        { name: 'v', path },
      ]);
    for (const mode of ['live', 'read-only'] as const) {
      for (const path of ['/home/me/data', '/home/me/data/inner', '/home/me-too', '/data'])
        await check(mode, path);
      for (const path of ['/home/me/none', '/home/me/data/none', '/home/me/linked', '/home/me/linked/inner'])
        await expect(check(mode, path)).rejects.toMatchObject({ code: 'invalid_argument' });
    }
    await check('copy-on-write', '/home/me/none');
    await folder.close();
  });
});

describe('the folder of a workspace', () => {
  it.each(['/', '/home', '/home/somebody', '/root', homedir()])('is not %s', async (path) => {
    await expect(open(path)).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it.each(['.git', '.git/hooks', '.GIT', 'modules/.Git/info'])('is not in %s', async (path) => {
    mkdirSync(join(root, path), { recursive: true });
    await expect(open(join(root, path))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(path),
      hint: 'Use the folder that contains .git.',
    });
  });

  it('is neither a file nor a link, and exists', async () => {
    await expect(open(join(root, 'file'))).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(open(join(root, 'link'))).rejects.toMatchObject({ code: 'conflict' });
    await expect(open(join(root, 'none'))).rejects.toMatchObject({ code: 'conflict' });
  });

  it('hides the files of the server, whatever its .sandboxignore says', async () => {
    const path = join(root, 'project');
    const name = ' State [1]*? ';
    mkdirSync(join(path, 'deep', name), { recursive: true });
    writeFileSync(join(path, '.sandboxignore'), '!*\n!deep/**\n');
    symlinkSync(join(path, 'deep', name), join(root, 'state'));
    const request = { localPath: path, path: '/vercel/sandbox', mode: 'live' as const };
    const folder = await open(path);
    const hides = async (stateDir: string, file: string) =>
      hiddenRules((await describeFolder(request, folder, stateDir)).hidden).hides(file, false);
    try {
      for (const stateDir of [join(path, 'deep', name), join(root, 'state')]) {
        expect(await hides(stateDir, `deep/${name}/sandboxes/x`)).toBe(true);
        expect(await hides(stateDir, 'deep/ State 1 /x')).toBe(false);
      }
      expect(await hides(root, 'deep/x')).toBe(false);
      expect(await hides(`${path}-state`, 'deep/x')).toBe(false);
      const long = join(path, 'x'.repeat(250), 'state');
      await expect(describeFolder(request, folder, long)).rejects.toThrow("the server's state directory");
    } finally {
      await folder.close();
    }
  });

  it('is not replaced by another one with its name', async () => {
    const path = join(root, 'project');
    const folder = await open(path);
    const id = `${folder.stats.dev}:${folder.stats.ino}`;
    await (await reopenWorkspaceFolder(path, id)).close();
    const request = { localPath: path, path: '/vercel/sandbox', mode: 'read-only' as const };
    const record = await describeFolder(request, folder, '/elsewhere');
    await requireSameFolder(record);
    rmSync(path, { recursive: true });
    mkdirSync(path);
    // Held open until now, so that the new one cannot get its inode number.
    await expect(requireSameFolder(record)).rejects.toMatchObject({ code: 'conflict' });
    await expect(reopenWorkspaceFolder(path, id)).rejects.toMatchObject({ code: 'conflict' });
    await folder.close();
  });
});
