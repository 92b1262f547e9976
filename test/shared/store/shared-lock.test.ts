import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { FilesStore } from '../../../src/shared/store/files-store.ts';
import { SharedLock } from '../../../src/shared/store/shared-lock.ts';

async function openStore(): Promise<FilesStore> {
  const folder = await mkdtemp(join(tmpdir(), 'lock-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return new FilesStore(folder);
}

it('runs tasks with the same key one after another, on all replicas', async () => {
  const store = await openStore();
  const locks = [new SharedLock(store), new SharedLock(store)];
  let running = 0;
  let most = 0;
  const task = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
  };
  await Promise.all([...locks, ...locks].map((lock) => lock.run('x', task)));
  expect(most).toBe(1);
});

it('settles as its task does if the lock cannot be given back', async () => {
  const store = await openStore();
  store.release = () => Promise.reject(new Error('The store is down.'));
  expect(await new SharedLock(store).run('x', async () => 'done')).toBe('done');
});

it('gives back a lock that it may have taken', async () => {
  const store = await openStore();
  const hold = store.hold.bind(store);
  store.hold = async (...args) => {
    await hold(...args);
    throw new Error('The answer was lost.');
  };
  await expect(new SharedLock(store).run('x', async () => 'done')).rejects.toThrow('The answer was lost.');
  expect(await store.holder('lock:x')).toBeNull();
});
