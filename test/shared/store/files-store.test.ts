import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FilesStore } from '../../../src/shared/store/files-store.ts';
import { describeStore } from './store-contract.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'store-'));
});
afterAll(() => rm(folder, { recursive: true }));

describeStore('files', async () => new FilesStore(join(folder, 'shared')));

it('keeps its files from other users', async () => {
  const store = new FilesStore(join(folder, 'shared'));
  await store.swap('texts', 'x', null, 'text');
  expect((await stat(join(folder, 'shared', 'texts', 'x.json'))).mode & 0o077).toBe(0);
  expect((await stat(join(folder, 'shared'))).mode & 0o077).toBe(0);
});
