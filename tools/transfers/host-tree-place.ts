/**
 * What happens to an existing target of a download. Names are looked up in held directories, and no link is
 * followed.
 */
import { lstat, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import type { HostDirectory, HostEntry } from '../../src/shared/fs/host-directory.ts';

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
  await walkCommon(staged, target, async (from, to) => {
    const [kind, there] = [await kindOf(from), await kindOf(to)];
    if (there !== null && kind !== there) throw occupied(to, there);
    return there === 'directory';
  });
  await walkCommon(staged, target, async (from, to) => {
    if ((await kindOf(from)) === 'directory' && (await kindOf(to)) === 'directory') return true;
    await rename(from.parent.at(from.name), to.parent.at(to.name));
    return false;
  });
}

/** Calls `visit` for each entry of `from`, and goes into both directories if that returns true. */
async function walkCommon(
  from: HostDirectory,
  to: HostDirectory,
  visit: (from: HostEntry, to: HostEntry) => Promise<boolean>,
): Promise<void> {
  for (const name of await readdir(from.self)) {
    if (!(await visit({ parent: from, name }, { parent: to, name }))) continue;
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
