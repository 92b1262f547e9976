/** Output that another replica has captured. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  captureDirectory,
  hasCapture,
  shareCapture,
} from '../../../../src/engines/vercel/commands/output-captures.ts';
import { removeForgotten } from '../../../../src/engines/vercel/state/sandbox-record.ts';
import { VercelLayout } from '../../../../src/engines/vercel/state/state-layout.ts';
import { newCommandId, newSandboxId } from '../../../../src/shared/ids.ts';
import { FilesStore } from '../../../../src/shared/store/files-store.ts';

it('is there completely or not at all, and goes with the record of its sandbox', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'captures-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const store = new FilesStore(join(folder, 'store'));
  const [one, other] = ['one', 'other'].map((name) => new VercelLayout(join(folder, name), store));
  if (one === undefined || other === undefined) throw new Error('unreachable');
  const sandboxId = newSandboxId();
  const commandId = newCommandId(sandboxId);
  const end = { capture: 'capture-1' };
  const made = captureDirectory(one, commandId, end.capture);
  await mkdir(made, { recursive: true });
  const files = ['a', 'b', 'c', 'd'];
  for (const name of files) await writeFile(join(made, name), name.repeat(10_000));
  expect(await hasCapture(other, commandId, end)).toBe(false);
  await shareCapture(one, commandId, end);
  const directory = captureDirectory(other, commandId, end.capture);
  const read = async (): Promise<string[]> => {
    expect(await hasCapture(other, commandId, end)).toBe(true);
    return Promise.all(files.map((name) => readFile(join(directory, name), 'utf8')));
  };
  const whole = files.map((name) => name.repeat(10_000));
  expect(await Promise.all([read(), read(), read()])).toEqual([whole, whole, whole]);
  expect(await readdir(other.command(commandId).dir)).toEqual(['capture-1']);

  const { record } = other.sandbox(sandboxId);
  await store.swap(record.collection, record.id, null, '{}');
  await removeForgotten(other);
  expect(await readdir(other.sandboxes)).toEqual([sandboxId]);
  await store.swap(record.collection, record.id, '{}', null);
  await removeForgotten(other);
  expect(await readdir(other.sandboxes)).toEqual([]);
});
