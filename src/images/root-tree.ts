/** Applies the layers of a root file system to a tree in order, and collects what the image record needs. */
import { posix } from 'node:path';
import { SandboxError } from '../shared/errors.ts';
import { formatCount } from '../shared/text/text.ts';
import { machineOf } from './architecture.ts';
import { pathInside, readTar, type TarEntry } from './tar-entries.ts';
import { isUsablePath, type Unpacker } from './unpacker.ts';

/** The account files in `/etc` whose text is collected. */
const NOTED = ['etc/passwd', 'etc/group', 'etc/nsswitch.conf'];
const MAX_NOTED_BYTES = 1_048_576;
const PROGRAM = /(^|\/)s?bin\/[^/]+$/;
const SHELL = /^(usr\/)?bin\/(bash|sh)$/;
/** Kernel file systems in every sandbox, which would hide the image's files. */
const KERNELS = /^(dev|proc|sys)\//;
const MAX_SKIPPED_LISTED = 20;

/** Whiteouts of layers (OCI image specification, layer.md). */
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Limit of a layer's whiteout names in total: they stay in memory until the layer has been read. */
const MAX_REMOVALS_BYTES = 67_108_864;

/** A layer's removals. They affect only the layers below, so they are applied first. */
export interface Removals {
  removed: string[];
  cleared: string[];
}

export class RootTree {
  readonly #unpacker: Unpacker;
  /** Contents of the `NOTED` files. */
  readonly texts = new Map<string, string>();
  /** Architectures of the programs found. */
  readonly machines = new Set<string>();
  readonly shells = new Set<string>();
  hasApt = false;
  readonly skipped: string[] = [];
  skippedCount = 0;

  constructor(unpacker: Unpacker) {
    this.#unpacker = unpacker;
  }

  /** The content of a collected file, or null if there is none. */
  text(path: string): string | null {
    return this.texts.get(path) ?? null;
  }

  /** Adds every entry. With `whiteouts`, skips a layer's whiteouts, which `remove` has already applied. */
  async add(source: AsyncIterable<Buffer>, { whiteouts }: { whiteouts: boolean }): Promise<void> {
    await readTar(source, async (entry) => {
      if (whiteouts && posix.basename(entry.path).startsWith(WHITEOUT)) return;
      await this.#addEntry(entry);
    });
  }

  async remove({ removed, cleared }: Removals): Promise<void> {
    for (const path of cleared) {
      await this.#unpacker.step({ kind: 'clear', path });
      this.#forget((noted) => noted.startsWith(`${path}/`));
    }
    for (const path of removed) {
      await this.#unpacker.step({ kind: 'remove', path });
      this.#forget((noted) => noted === path || noted.startsWith(`${path}/`));
    }
  }

  #forget(isRemoved: (path: string) => boolean): void {
    for (const set of [this.texts, this.shells])
      for (const path of set.keys()) if (isRemoved(path)) set.delete(path);
  }

  #skip(path: string, why: string): void {
    this.skippedCount += 1;
    if (this.skipped.length < MAX_SKIPPED_LISTED) this.skipped.push(`${path.slice(0, 200)}: ${why}`);
  }

  async #addEntry(entry: TarEntry): Promise<void> {
    const { kind, path, mode, uid, gid, mtime, size } = entry;
    if (path === '' || KERNELS.test(path)) return;
    if (!isUsablePath(path) || !isUsablePath(entry.link)) return this.#skip(path, 'its path is too long');
    // Invalid UTF-8 was decoded to this character; under the changed name nothing would find the file.
    if (`${path}${entry.link}`.includes('\ufffd')) return this.#skip(path, 'its name is not UTF-8');
    if (kind === 'device') return this.#skip(path, 'devices, fifos and sockets are not imported');
    this.#forget((noted) => noted === path && kind !== 'directory');
    if (path.startsWith('etc/apt/')) this.hasApt = true;
    if (SHELL.test(path) && kind !== 'directory') this.shells.add(path);
    const step = { kind, path, mode, uid, gid, mtime, size };
    if (kind === 'file') await this.#unpacker.step(step, this.#noting(entry));
    else if (kind === 'directory') await this.#unpacker.step(step);
    else
      await this.#unpacker.step({ ...step, link: kind === 'hardlink' ? pathInside(entry.link) : entry.link });
  }

  async *#noting({ path, size, content }: TarEntry): AsyncGenerator<Uint8Array> {
    const kept: Uint8Array[] = [];
    let first = PROGRAM.test(path);
    for await (const chunk of content) {
      const machine = first ? machineOf(chunk) : null;
      if (machine !== null) this.machines.add(machine);
      first = false;
      if (NOTED.includes(path) && size <= MAX_NOTED_BYTES) kept.push(chunk.slice());
      yield chunk;
    }
    if (NOTED.includes(path) && size <= MAX_NOTED_BYTES)
      this.texts.set(path, Buffer.concat(kept).toString('utf8'));
  }
}

/** Removes what a layer deletes from the layers below. */
export async function removalsOf(source: AsyncIterable<Buffer>): Promise<Removals> {
  const removals: Removals = { removed: [], cleared: [] };
  let bytes = 0;
  await readTar(source, async ({ path }) => {
    const name = posix.basename(path);
    const parent = posix.dirname(path) === '.' ? '' : `${posix.dirname(path)}/`;
    if (!name.startsWith(WHITEOUT)) return;
    // A name that cannot exist needs no removal.
    if (!isUsablePath(path)) return;
    bytes += Buffer.byteLength(path);
    if (bytes > MAX_REMOVALS_BYTES) throw tooManyRemovals();
    if (name === OPAQUE) {
      // A whiteout of the root would drop all layers below; no real image does that.
      if (parent !== '') removals.cleared.push(parent.slice(0, -1));
    } else if (!name.startsWith(`${WHITEOUT}${WHITEOUT}`)) {
      const target = name.slice(WHITEOUT.length);
      if (target !== '' && target !== '.' && target !== '..') removals.removed.push(`${parent}${target}`);
    }
  });
  return removals;
}

function tooManyRemovals(): SandboxError {
  return new SandboxError(
    'limit_exceeded',
    `The names of the files that a layer removes take more than ${formatCount(MAX_REMOVALS_BYTES)} bytes.`,
    { hint: 'Use the root file system itself, as written by `docker export CONTAINER`.' },
  );
}
