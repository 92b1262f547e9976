import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { Sandbox, WorkspaceMode, Workspaces } from '../../../src/engines/engine.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** A folder of the host in a sandbox, mounted or uploaded: nothing but `provision` tells which. */
export function workspaceCases(get: () => Subject, extent: Extent): void {
  describeCases('workspaces', extent, (it) => {
    let folder: string;

    beforeAll(() => {
      // With what the options of mounts treat as special.
      folder = join(realpathSync(mkdtempSync(join(tmpdir(), 'workspace-'))), 'a:b,c\\d');
      mkdirSync(join(folder, 'src'), { recursive: true });
      for (const name of ['a', 'gone', '.env', 'moved', 'tool', 'src/x', 'src/.env'])
        writeFileSync(join(folder, name), `${name}\n`);
    });
    afterAll(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

    const create = (mode: WorkspaceMode) =>
      get().create({ workspace: { localPath: folder, path: '/vercel/sandbox', mode } });
    const workspaces = (): Workspaces => {
      const { engine } = get();
      if (engine.workspaces === undefined) throw new Error('every engine has workspaces');
      return engine.workspaces;
    };
    const inside = (sandboxId: string, script: string) => run(get(), 'sh', ['-ec', script], { sandboxId });
    const isMounted = async (): Promise<boolean> => {
      const { engine } = get();
      const { isolation } = await engine.limits(timeoutSignal());
      return engine.name === 'oci' && !isolation.includes('subordinate');
    };
    const provisionOf = ({ workspace }: Sandbox) => workspace?.provision;

    it('shows a folder, keeps what is written inside, and applies it', async () => {
      const made = await create('copy-on-write');
      const { sandboxId } = made;
      expect(provisionOf(made)).toBe((await isMounted()) ? 'overlay' : 'upload');
      expect(await get().other.get(sandboxId, timeoutSignal())).toMatchObject({
        status: 'running',
        workspace: { localPath: folder, path: '/vercel/sandbox', mode: 'copy-on-write' },
      });
      const seen = await inside(
        sandboxId,
        `ls -A . src; stat -c %u a; id -u; echo more >> a; rm gone; mkdir new; echo n > new/f
          mv moved src/renamed; chmod +x tool; ln -s a link; ln -s /etc out; echo mine > .env; touch src/x`,
      );
      const [uid, ownUid] = seen.stdout.split('\n').slice(-3);
      expect(seen.stdout).toContain('.:\na\ngone\nmoved\nsrc\ntool\n\nsrc:\nx\n');
      expect(uid).toBe(ownUid);
      expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('a\n');

      const list = async () => (await workspaces().changes(sandboxId, timeoutSignal())).changes;
      const changes = await list();
      expect(changes.map(({ path, status, from, refused }) => [path, status, from, refused])).toEqual([
        ['.env', 'added', null, 'its name is one that .sandboxignore or the list of secrets hides'],
        ['a', 'modified', null, null],
        ['gone', 'deleted', null, null],
        ['link', 'added', null, null],
        ['new/f', 'added', null, null],
        ['out', 'added', null, 'the link leads out of the folder'],
        ['src/renamed', 'renamed', 'moved', null],
        ['tool', 'mode', null, null],
      ]);
      const sides = (path: string) =>
        Promise.all(
          (['before', 'after'] as const).map(async (side) =>
            String(await workspaces().read(sandboxId, path, side, 100, timeoutSignal())),
          ),
        );
      expect(await sides('a')).toEqual(['a\n', 'a\nmore\n']);
      expect(await sides('link')).toEqual(['null', 'a']);

      const agreed = changes.filter(({ path, refused }) => path !== 'gone' && refused === null);
      await inside(sandboxId, 'echo again >> a; echo inside > src/x');
      const { applied: others, refused } = await workspaces().apply(sandboxId, agreed, timeoutSignal());
      expect(others.map(({ path }) => path)).toEqual(['link', 'new/f', 'src/renamed', 'tool']);
      expect(refused.map(({ path, refused }) => [path, refused])).toEqual([
        ['a', 'it changed again after it was listed'],
      ]);
      expect(readlinkSync(join(folder, 'link'))).toBe('a');
      expect(readFileSync(join(folder, 'src/renamed'), 'utf8')).toBe('moved\n');
      expect(statSync(join(folder, 'tool')).mode & 0o111).toBe(0o111);

      // The host changes one of two files that the sandbox has changed.
      writeFileSync(join(folder, 'src/x'), 'host\n');
      const now = await list();
      expect(now.map(({ path, refused }) => [path, refused])).toEqual([
        ['.env', expect.stringContaining('hides')],
        ['a', null],
        ['gone', null],
        ['out', expect.stringContaining('leads out')],
        ['src/x', 'it was changed on the host since the sandbox started'],
      ]);
      const again = now.filter(({ path }) => path === 'a');
      const { applied } = await workspaces().apply(sandboxId, again, timeoutSignal());
      expect(applied.map(({ path }) => path)).toEqual(['a']);
      expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('a\nmore\nagain\n');
      expect(readFileSync(join(folder, 'gone'), 'utf8')).toBe('gone\n');
      expect(readFileSync(join(folder, '.env'), 'utf8')).toBe('.env\n');
      expect(readFileSync(join(folder, 'src/x'), 'utf8')).toBe('host\n');
    });

    it('shows a folder that nothing inside can change', async () => {
      chmodSync(join(folder, 'tool'), 0o755);
      const { sandboxId } = await create('read-only');
      const seen = await run(
        get(),
        'sh',
        ['-c', 'ls -A src; echo x > src/x || echo refused; rm a || echo refused; touch new || echo refused'],
        { sandboxId },
      );
      expect(seen.stdout).toBe('renamed\nx\nrefused\nrefused\nrefused\n');
      await expect(workspaces().changes(sandboxId, timeoutSignal())).rejects.toMatchObject({
        code: 'conflict',
      });
    });

    it('shows the folder itself, once nothing of it is hidden', async () => {
      if (!(await isMounted())) {
        await expect(create('live')).rejects.toMatchObject({
          code: 'unsupported',
          hint: expect.stringContaining('copy-on-write'),
        });
        return;
      }
      await expect(create('live')).rejects.toMatchObject({ code: 'conflict' });
      writeFileSync(join(folder, '.sandboxignore'), '!.env\n');
      const made = await create('live');
      expect(provisionOf(made)).toBe('bind');
      const { sandboxId } = made;
      const seen = await inside(sandboxId, 'cat .env; echo live > written; stat -c %u written; id -u');
      const [shown, uid, ownUid] = seen.stdout.split('\n');
      expect([shown, uid]).toEqual(['.env', ownUid]);
      expect(readFileSync(join(folder, 'written'), 'utf8')).toBe('live\n');
    });
  });
}
