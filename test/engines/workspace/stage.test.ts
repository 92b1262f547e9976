import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkspaceChange, WorkspaceEntry } from '../../../src/engines/engine.ts';
import { applyChanges, withFolderLock } from '../../../src/engines/workspace/apply.ts';
import { newJournal, type OnStep, writeJournal } from '../../../src/engines/workspace/journal.ts';
import { stampOf } from '../../../src/engines/workspace/stamp.ts';
import { openSides } from './support/open-sides.ts';

let root: string;
let sides: Awaited<ReturnType<typeof openSides>>;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'stage-')));
  sides = await openSides(root);
});
afterEach(async () => {
  await sides.close();
  rmSync(root, { recursive: true });
});

function added(path: string, type: WorkspaceEntry['type'], sizeBytes: number): WorkspaceChange {
  const after = { type, mode: 0o644, sizeBytes, modifiedAt: 0 };
  return { path, status: 'added', from: null, before: null, after, refused: null };
}

const apply = (changes: WorkspaceChange[], signal = new AbortController().signal, onStep?: OnStep) =>
  applyChanges(sides, changes, signal, onStep);

describe('what an apply stages', () => {
  it.each(['/etc/passwd', '../outside', 'a/../../b'])('is no link that now leads to %s', async (target) => {
    writeFileSync(join(root, 'upper/a'), 'a');
    symlinkSync(target, join(root, 'upper/link'));
    const changes = [added('a', 'file', 1), added('link', 'symlink', target.length)];
    await expect(apply(changes)).rejects.toMatchObject({
      code: 'conflict',
      message: 'link changed while changes were being applied; nothing was applied.',
    });
    expect(readdirSync(join(root, 'folder'))).toEqual([]);
  });

  it('is a link that stays inside, and no file that took its place', async () => {
    symlinkSync('x', join(root, 'upper/link'));
    writeFileSync(join(root, 'upper/file'), 'file');
    await apply([added('link', 'symlink', 1)]);
    expect(readlinkSync(join(root, 'folder/link'))).toBe('x');
    await expect(apply([added('file', 'symlink', 1)])).rejects.toMatchObject({ code: 'conflict' });
  });

  it('is not what has its folder where the host has a file, until that is deleted', async () => {
    for (const path of ['upper/old', 'upper/new']) mkdirSync(join(root, path));
    for (const path of ['folder/old', 'folder/new', 'upper/old/f', 'upper/new/f', 'upper/other'])
      writeFileSync(join(root, path), 'x');
    const deletion = { ...added('old', 'file', 1), status: 'deleted' as const, after: null };
    const changes = ['other', 'old/f', 'new/f'].map((path) => added(path, 'file', 1));
    const { applied, refused } = await apply([deletion, ...changes]);
    expect(applied.map(({ path }) => path)).toEqual(['old', 'other']);
    expect(refused.map(({ path, refused }) => [path, refused])).toEqual([
      ['old/f', 'its folder "old" is a file on the host, which goes first: apply again'],
      ['new/f', 'its folder "new" is a file on the host'],
    ]);
    expect((await apply(changes.slice(1, 2))).applied.map(({ path }) => path)).toEqual(['old/f']);
    expect(readFileSync(join(root, 'folder/old/f'), 'utf8')).toBe('x');
  });

  it('keeps the holes of a sparse file', async () => {
    const size = 16 * 1_048_576;
    writeFileSync(join(root, 'upper/sparse'), 'begin');
    truncateSync(join(root, 'upper/sparse'), size - 3);
    appendFileSync(join(root, 'upper/sparse'), 'end');
    await apply([added('sparse', 'file', size)]);
    const stats = statSync(join(root, 'folder/sparse'));
    expect(stats.size).toBe(size);
    expect(stats.blocks * 512).toBeLessThan(4 * 1_048_576);
    const content = readFileSync(join(root, 'folder/sparse'));
    expect(content.subarray(0, 5).toString() + content.subarray(-3).toString()).toBe('beginend');
  });

  it('ends where the file ended when it was compared', async () => {
    writeFileSync(join(root, 'upper/log'), 'one\ntwo\nthree\n');
    await apply([added('log', 'file', 8)]);
    expect(readFileSync(join(root, 'folder/log'), 'utf8')).toBe('one\ntwo\n');
  });

  it('is removed when the call is cancelled in the middle of a file', async () => {
    writeFileSync(join(root, 'upper/sparse'), 'x');
    truncateSync(join(root, 'upper/sparse'), 2 ** 42);
    const controller = new AbortController();
    const onStep = (step: string) => {
      if (step === 'stage sparse') controller.abort(new Error('cancelled'));
    };
    const applied = apply([added('sparse', 'file', 2 ** 42)], controller.signal, onStep);
    await expect(applied).rejects.toThrow('cancelled');
    expect(readdirSync(join(root, 'folder'))).toEqual([]);
    expect(readdirSync(join(root, 'journals'))).toEqual([]);
  });

  it('comes after an interrupted apply to the folder is finished, before anything is compared', async () => {
    writeFileSync(join(root, 'folder/old'), 'old');
    const expected = stampOf(statSync(join(root, 'folder/old'), { bigint: true }));
    const steps = [{ path: 'old', staged: null, expected, from: null }];
    const { localPath, folder } = sides.record;
    const journal = newJournal(localPath, folder, { directories: [], steps });
    await writeJournal(sides.journals, 'interrupted', { ...journal, committed: true });
    const seen = await withFolderLock(sides, new AbortController().signal, async () =>
      readdirSync(join(root, 'folder')),
    );
    expect(seen).toEqual([]);
  });
});
