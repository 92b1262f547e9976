/**
 * What happens to an existing target of a download. Names are looked up in held directories, and no link is
 * followed.
 */
import { lstat, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import type { HostDirectory, HostEntry } from '../../src/shared/fs/host-directory.ts';
import { Background } from './write-behind.ts';

/** How many entries are examined or moved concurrently. */
const VISITS_AT_ONCE = 8;

/** `merge` overwrites files of the same name and keeps the others, as `cp -r` does. */
export const OVERWRITE = ['merge', 'replace', 'refuse'] as const;
export type Overwrite = (typeof OVERWRITE)[number];

/** @throws `conflict` if an entry of this type must not take the target's place */
export async function requireReplaceable(
  target: HostEntry,
  type: TreeEntry['type'],
  overwrite: Overwrite,
): Promise<void> {
  const kind = await kindOf(target);
  if (kind === null) return;
  if (overwrite === 'refuse' || (type === 'directory') !== (kind === 'directory'))
    throw occupied(target, kind);
}

/**
 * Moves the entries of `staged` into `target`. Existing directories keep their modes.
 *
 * @throws `conflict` if a directory would replace something else, or the reverse; nothing has been moved then
 */
export async function mergeHostDirectory(staged: HostDirectory, target: HostDirectory): Promise<void> {
  await walkCommon(staged, target, async (kind, _from, to) => {
    const there = await kindOf(to);
    if (there !== null && kind !== there) throw occupied(to, there);
    return there === 'directory';
  });
  await walkCommon(staged, target, async (kind, from, to) => {
    if (kind === 'directory' && (await kindOf(to)) === 'directory') return true;
    await rename(from.parent.at(from.name), to.parent.at(to.name));
    return false;
  });
}

/**
 * Calls `visit` for the entries of `from`, several at a time, and goes into both directories if that returns
 * true. Nothing is running any more when this settles.
 */
async function walkCommon(
  from: HostDirectory,
  to: HostDirectory,
  visit: (kind: Kind, from: HostEntry, to: HostEntry) => Promise<boolean>,
): Promise<void> {
  const common: string[] = [];
  const visits = new Background(VISITS_AT_ONCE);
  try {
    for (const entry of await readdir(from.self, { withFileTypes: true })) {
      const { name } = entry;
      const kind = entry.isDirectory() ? 'directory' : 'file';
      await visits.add(async () => {
        if (await visit(kind, { parent: from, name }, { parent: to, name })) common.push(name);
      });
    }
    await visits.done();
  } finally {
    await visits.settled();
  }
  for (const name of common) {
    const source = await from.directory(name);
    try {
      const target = await to.directory(name);
      try {
        await walkCommon(source, target, visit);
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  }
}

type Kind = 'directory' | 'file';

/** Null if nothing is there; a link counts as a file. */
export async function kindOf({ parent, name }: HostEntry): Promise<Kind | null> {
  try {
    return (await lstat(parent.at(name))).isDirectory() ? 'directory' : 'file';
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export function occupied({ parent, name }: HostEntry, kind: Kind): SandboxError {
  const path = join(parent.path, name);
  return new SandboxError('conflict', `There is already a ${kind} at local_path ${JSON.stringify(path)}.`, {
    hint: 'Call sandbox_download_file with another local_path, or have that one removed first.',
    details: { local_path: path },
  });
}
