import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withFileLock } from '../../../src/shared/fs/file-lock.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rm(folder, { recursive: true }));

describe('an empty lock file', () => {
  it('is taken over when its creator has died', async () => {
    await writeFile(path, '');
    expect(await withFileLock(path, async () => 'done')).toBe('done');
  });

  it.runIf(process.platform === 'linux')('is waited for while its creator has it open', async () => {
    const made = await open(path, 'wx');
    const waiting = withFileLock(path, async () => 'done', { waitMs: 1_500 });
    await expect(waiting).rejects.toMatchObject({ code: 'conflict' });
    await made.close();
    expect(await withFileLock(path, async () => 'done')).toBe('done');
  });
});
