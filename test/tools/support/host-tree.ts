/** A host's folder as an upload reads it. */
import { stat } from 'node:fs/promises';
import { onTestFinished } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { openHostEntry } from '../../../src/shared/fs/host-directory.ts';
import { readHostTree } from '../../../tools/transfers/host-tree-read.ts';
import type { LocalEntry } from '../../../tools/transfers/local-path.ts';
import { SkippedEntries } from '../../../tools/transfers/skipped-entries.ts';
import { neverAborted } from '../../registry/support/registry.ts';

interface Wish {
  exclude?: string[];
  stateDir?: string;
  skipped?: SkippedEntries;
}

export async function* reading(path: string, wish: Wish = {}): AsyncGenerator<TreeEntry> {
  const { exclude = [], skipped = new SkippedEntries() } = wish;
  const excludes = (path: string): boolean => exclude.includes(path);
  const stateDir = wish.stateDir === undefined ? null : await stat(wish.stateDir);
  yield* readHostTree(
    { root: await local(path), fileMode: null, excludes, stateDir, skipped, onData: () => {} },
    neverAborted,
  );
}

/** Until the end of the test. */
export async function local(path: string): Promise<LocalEntry> {
  const entry = await openHostEntry(path);
  onTestFinished(() => entry.parent.close());
  return { ...entry, path };
}
