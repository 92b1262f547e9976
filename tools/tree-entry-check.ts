import { posix } from 'node:path';
import type { TreeEntry } from '../src/engines/engine.ts';
import { SandboxError } from '../src/shared/errors.ts';

/** What a file system path of this platform may not hold in one name. */
const FORBIDDEN = process.platform === 'win32' ? /[\0\\:]/ : /\0/;

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
    if (!plain || FORBIDDEN.test(path)) throw hostile(path, 'is no plain path');
    if (path === '' && type === 'symlink') throw hostile(path, 'is a link in place of the tree');
    if (this.#seen.has(path)) throw hostile(path, 'came twice');
    if (path !== '' && !this.#directories.has(names.slice(0, -1).join('/'))) {
      throw hostile(path, 'lies in no directory of the tree');
    }
    this.#seen.add(path);
    if (type === 'directory') this.#directories.add(path);
  }
}

/**
 * Whether a link stays within its tree wherever the tree is put. `..` may only lead: after a name it would go up from
 * wherever that name, perhaps a link itself, leads.
 */
export function staysInside(linkPath: string, target: string): boolean {
  if (target === '' || posix.isAbsolute(target) || FORBIDDEN.test(target)) return false;
  const names = target.split('/').filter((name) => name !== '' && name !== '.');
  const climbs = names.findIndex((name) => name !== '..');
  const up = climbs === -1 ? names.length : climbs;
  const depth = linkPath.split('/').length - 1;
  return up <= depth && !names.slice(up).includes('..');
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
