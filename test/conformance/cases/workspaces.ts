import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { WorkspaceMode } from '../../../src/engines/engine.ts';
import { describeCases } from '../support/contract-cases.ts';
import { timeoutSignal } from '../support/requests.ts';
import { run } from '../support/run.ts';
import type { Extent, Subject } from '../support/subject.ts';

/** A folder of the host in a sandbox. */
export function workspaceCases(get: () => Subject, extent: Extent): void {
  describeCases('workspaces', extent, (it) => {
    let folder: string;

    beforeAll(() => {
      // With what the options of mounts treat as special.
      folder = join(realpathSync(mkdtempSync(join(tmpdir(), 'workspace-'))), 'a:b,c\\d');
      mkdirSync(join(folder, 'src'), { recursive: true });
      for (const name of ['a', 'gone', '.env', 'src/x', 'src/.env'])
        writeFileSync(join(folder, name), `${name}\n`);
    });
    afterAll(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

    const create = (mode: WorkspaceMode) =>
      get().create({ workspace: { localPath: folder, path: '/vercel/sandbox', mode } });

    it('shows a folder, keeps what is written inside, and applies it', async (context) => {
      const { engine } = get();
      const { workspaces } = engine;
      if (workspaces === undefined) return context.skip('this engine has no workspaces');
      const { isolation } = await engine.limits(timeoutSignal());
      if (isolation.includes('subordinate')) {
        await expect(create('copy-on-write')).rejects.toMatchObject({ code: 'unsupported' });
        return;
      }
      const { sandboxId } = await create('copy-on-write');
      const inside = (script: string) => run(get(), 'sh', ['-ec', script], { sandboxId });
      const seen = await inside(
        'ls -A . src; stat -c %u a; id -u; echo more >> a; rm gone; mkdir new; echo n > new/f',
      );
      const [uid, ownUid] = seen.stdout.split('\n').slice(-3);
      expect(seen.stdout).toContain('.:\na\ngone\nsrc\n\nsrc:\nx\n');
      expect(uid).toBe(ownUid);
      expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('a\n');

      const { changes } = await workspaces.changes(sandboxId, timeoutSignal());
      expect(changes.map(({ path, status, refused }) => [path, status, refused])).toEqual([
        ['a', 'modified', null],
        ['gone', 'deleted', null],
        ['new/f', 'added', null],
      ]);
      const agreed = changes.filter(({ path }) => path !== 'gone');
      await inside('echo again >> a');
      const { applied: others, refused } = await workspaces.apply(sandboxId, agreed, timeoutSignal());
      expect(others.map(({ path }) => path)).toEqual(['new/f']);
      expect(refused.map(({ path, refused }) => [path, refused])).toEqual([
        ['a', 'it changed again after it was listed'],
      ]);
      const { changes: now } = await workspaces.changes(sandboxId, timeoutSignal());
      const again = now.filter(({ path }) => path === 'a');
      const { applied } = await workspaces.apply(sandboxId, again, timeoutSignal());
      expect(applied.map(({ path }) => path)).toEqual(['a']);
      expect(readFileSync(join(folder, 'a'), 'utf8')).toBe('a\nmore\nagain\n');
      expect(readFileSync(join(folder, 'gone'), 'utf8')).toBe('gone\n');
    });

    it('shows a folder that nothing inside can change', async (context) => {
      const { engine } = get();
      const { isolation } = await engine.limits(timeoutSignal());
      if (engine.workspaces === undefined || isolation.includes('subordinate'))
        return context.skip('there are no workspaces here');
      const { sandboxId } = await create('read-only');
      const seen = await run(get(), 'sh', ['-c', 'ls -A src; echo x > src/x || echo refused'], { sandboxId });
      expect(seen.stdout).toBe('x\nrefused\n');
    });

    it('shows the folder itself, once nothing of it is hidden', async (context) => {
      const { engine } = get();
      const { isolation } = await engine.limits(timeoutSignal());
      if (engine.workspaces === undefined || isolation.includes('subordinate'))
        return context.skip('there are no workspaces here');
      await expect(create('live')).rejects.toMatchObject({ code: 'conflict' });
      writeFileSync(join(folder, '.sandboxignore'), '!.env\n');
      const { sandboxId } = await create('live');
      const seen = await run(
        get(),
        'sh',
        ['-c', 'cat .env; echo live > written; stat -c %u written; id -u'],
        {
          sandboxId,
        },
      );
      const [shown, uid, ownUid] = seen.stdout.split('\n');
      expect([shown, uid]).toEqual(['.env', ownUid]);
      expect(readFileSync(join(folder, 'written'), 'utf8')).toBe('live\n');
    });
  });
}
