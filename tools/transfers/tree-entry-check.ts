import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { FORBIDDEN_IN_NAMES } from '../../src/shared/fs/link-target.ts';

/**
 * Checks entries that a sandbox sends before they become files on the host: each must be in a directory that
 * was sent before it, have a plain name, and appear once. Use one checker per tree.
 *
 * @throws `server` for anything else, which only a compromised sandbox sends
 */
export class TreeEntryChecker {
  readonly #directories = new Set<string>();
  readonly #seen = new Set<string>();

  check(entry: TreeEntry): void {
    const { path, type } = entry;
    const names = path.split('/');
    const plain = path === '' || names.every((name) => name !== '' && name !== '.' && name !== '..');
    if (!plain || FORBIDDEN_IN_NAMES.test(path)) throw invalidEntry(path, 'is not a plain path');
    if (path === '' && type === 'symlink') throw invalidEntry(path, 'is a symlink in place of the root');
    if (this.#seen.has(path)) throw invalidEntry(path, 'appears twice');
    if (path !== '' && !this.#directories.has(names.slice(0, -1).join('/'))) {
      throw invalidEntry(path, 'is not in a directory of the tree');
    }
    this.#seen.add(path);
    if (type === 'directory') this.#directories.add(path);
  }
}

function invalidEntry(path: string, problem: string): SandboxError {
  return new SandboxError(
    'server',
    `The sandbox sent a tree whose entry ${JSON.stringify(path)} ${problem}.`,
    {
      hint: 'Nothing was written. Pack the files inside the sandbox (tar) and download the one archive.',
    },
  );
}
