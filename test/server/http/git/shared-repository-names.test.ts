import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { SharedRepositoryNames } from '../../../../src/server/http/git/shared-repository-names.ts';
import { SANDBOX_RECORDS } from '../../../../src/shared/store/collections.ts';
import { FilesStore } from '../../../../src/shared/store/files-store.ts';

it('gives a sandbox the same name at every replica, until its record is removed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'names-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = new FilesStore(folder);
  const [one, other] = [new SharedRepositoryNames(store), new SharedRepositoryNames(store)];
  const [kept, removed] = ['kept', 'removed'].map((sandboxId) => ({ principal: 'ann', sandboxId }));
  if (kept === undefined || removed === undefined) throw new Error('unreachable');
  for (const { sandboxId } of [kept, removed]) await store.swap(SANDBOX_RECORDS, sandboxId, null, '{}');
  const [keptName, removedName] = [await one.nameOf(kept), await one.nameOf(removed)];
  expect(await other.nameOf(kept)).toBe(keptName);
  expect(await other.find(removedName)).toEqual(removed);
  await store.swap(SANDBOX_RECORDS, removed.sandboxId, '{}', null);
  const added = { principal: 'ann', sandboxId: 'added' };
  await store.swap(SANDBOX_RECORDS, added.sandboxId, null, '{}');
  expect(await other.find(await other.nameOf(added))).toEqual(added);
  expect(await one.find(removedName)).toBeNull();
  expect(await one.find(keptName)).toEqual(kept);
});
