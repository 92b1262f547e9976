import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
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

describe('a lock', () => {
  it('is released when its process exits in the middle of the work', async () => {
    const module = new URL('../../../src/shared/fs/file-lock.ts', import.meta.url).href;
    const script = `import { withFileLock } from ${JSON.stringify(module)};
      import { existsSync } from 'node:fs';
      const path = ${JSON.stringify(path)};
      await withFileLock(path, async () => process.exit(existsSync(path) ? 7 : 1));`;
    const holder = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script]);
    expect(await once(holder, 'exit')).toEqual([7, null]);
    expect(existsSync(path)).toBe(false);
  });
});
