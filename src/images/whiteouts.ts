/**
 * Whiteouts: the entries of a layer that remove files of the layers below (OCI image specification,
 * layer.md).
 */
import { posix } from 'node:path';
import { SandboxError } from '../shared/errors.ts';
import { formatCount } from '../shared/text/text.ts';
import { readTar, type TarEntry } from './tar/tar-reader.ts';
import { isUsablePath } from './unpacker.ts';

const PREFIX = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Limit of a layer's whiteout names in total, where they stay in memory until the layer has been read. */
const MAX_REMOVALS_BYTES = 67_108_864;

/**
 * `remove` removes a path, `clear` the content of a directory; `none` is a mark that builders keep for
 * themselves.
 */
export type Whiteout = AppliedWhiteout | { kind: 'none' };

export interface AppliedWhiteout {
  kind: 'remove' | 'clear';
  path: string;
}

/** A layer's removals. They affect only the layers below. */
export interface Removals {
  removed: string[];
  cleared: string[];
}

/**
 * Null for an ordinary entry. Its type does not matter: of several whiteouts all but the first may be hard
 * links.
 */
export function whiteoutOf(path: string): Whiteout | null {
  const name = posix.basename(path);
  if (!name.startsWith(PREFIX)) return null;
  const parent = posix.dirname(path) === '.' ? '' : `${posix.dirname(path)}/`;
  const target = name.slice(PREFIX.length);
  // A name that cannot exist needs no removal.
  if (!isUsablePath(path)) return { kind: 'none' };
  // A whiteout of the root would drop all layers below; no real image does that.
  if (name === OPAQUE) return parent === '' ? { kind: 'none' } : { kind: 'clear', path: parent.slice(0, -1) };
  if (target.startsWith(PREFIX) || ['', '.', '..'].includes(target)) return { kind: 'none' };
  return { kind: 'remove', path: `${parent}${target}` };
}

/** All whiteouts of a layer. */
export async function removalsOf(source: AsyncIterable<Uint8Array>): Promise<Removals> {
  const removals: Removals = { removed: [], cleared: [] };
  let bytes = 0;
  const visit = async ({ path }: TarEntry) => {
    const whiteout = whiteoutOf(path);
    if (whiteout === null || whiteout.kind === 'none') return;
    bytes += path.length;
    if (bytes > MAX_REMOVALS_BYTES) throw tooManyRemovals();
    removals[whiteout.kind === 'clear' ? 'cleared' : 'removed'].push(whiteout.path);
  };
  // Nothing is unpacked.
  await readTar(source, visit, () => {});
  return removals;
}

function tooManyRemovals(): SandboxError {
  return new SandboxError(
    'limit_exceeded',
    `The names of the files that a layer removes take more than ${formatCount(MAX_REMOVALS_BYTES)} bytes.`,
    { hint: 'Use the root file system itself, as written by `docker export CONTAINER`.' },
  );
}

/** Knows what a layer has added so far, which its own whiteouts must not remove. */
export class AddedPaths {
  readonly #paths = new Set<string>();
  /** Directories in which something was added. */
  readonly #parents = new Set<string>();

  add(path: string): void {
    this.#paths.add(path);
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      if (this.#parents.has(parent)) return;
      this.#parents.add(parent);
    }
  }

  conflictsWith({ kind, path }: AppliedWhiteout): boolean {
    return this.#parents.has(path) || (kind === 'remove' && this.#paths.has(path));
  }
}
