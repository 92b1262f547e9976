import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { FORBIDDEN_IN_NAMES } from '../../src/shared/fs/link-target.ts';

/**
 * Checks entries that a sandbox sends before they become files here: each lies in a directory that came before it, under a
 * plain name, once. One checker serves one tree.
 *
 * @throws `server` for anything else; an honest engine never sends it
 */
export class TreeEntryChecker {
  readonly #directories = new Set<string>();
  readonly #seen = new Set<string>();

  check(entry: TreeEntry): void {
    const { path, type } = entry;
    const names = path.split('/');
    const plain = path === '' || names.every((name) => name !== '' && name !== '.' && name !== '..');
    if (!plain || FORBIDDEN_IN_NAMES.test(path)) throw hostile(path, 'is no plain path');
    if (path === '' && type === 'symlink') throw hostile(path, 'is a link in place of the tree');
    if (this.#seen.has(path)) throw hostile(path, 'came twice');
    if (path !== '' && !this.#directories.has(names.slice(0, -1).join('/'))) {
      throw hostile(path, 'lies in no directory of the tree');
    }
    this.#seen.add(path);
    if (type === 'directory') this.#directories.add(path);
  }
}

function hostile(path: string, problem: string): SandboxError {
  return new SandboxError(
    'server',
    `The sandbox sent a tree whose entry ${JSON.stringify(path)} ${problem}.`,
    {
      hint: 'Nothing was written. Pack the files inside the sandbox (tar) and download the one archive.',
    },
  );
}
