/**
 * The layers of pulled images, each stored once by the digest of its archive. The trees of images link to their files,
 * so images that share layers take the disk of their union, on any file system, and one directory is one layer of a
 * sandbox's overlay, however many layers the image has. A layer that no image has is removed.
 */
import { chmod, mkdir, readdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import type { ImageStore, Staging } from '../image-store.ts';
import { notedFiles } from '../layers/content-notes.ts';
import { FILES, openLayer, readHeader, type StoredLayer } from '../layers/stored-layer.ts';
import { type LayerSource, storeLayer } from './store-layer.ts';

/** In a staging directory: the layers that a pull uses. */
const IN_USE = 'in-use.json';

/** @throws `unsupported`: the digest is the name of a directory */
function nameOf(diffId: string): string {
  const name = /^sha256:([0-9a-f]{64})$/.exec(diffId)?.[1];
  if (name !== undefined) return name;
  throw new SandboxError('unsupported', `A layer has the digest ${JSON.stringify(diffId.slice(0, 100))}.`, {
    hint: 'The image is damaged, or not a container image: choose another one.',
  });
}

export class LayerStore {
  readonly #store: ImageStore;

  constructor(store: ImageStore) {
    this.#store = store;
  }

  /** Keeps these layers, present or not yet, until the image of `staging` is complete. */
  async reserve({ layers }: Staging, diffIds: readonly string[]): Promise<void> {
    await mkdir(layers, { mode: 0o700 });
    // mkdir applies the umask, but the sandbox's root must be able to traverse this directory.
    await chmod(layers, this.#store.host.mode);
    const names = JSON.stringify(diffIds.map(nameOf));
    await this.#store.locked(() => writeFile(join(layers, IN_USE), names, { mode: 0o600 }));
  }

  /** Null if it is not there, or was stored in a way that is of no use now. */
  async find(diffId: string): Promise<StoredLayer | null> {
    const directory = join(this.#store.layersDirectory, nameOf(diffId));
    const header = await readHeader(directory);
    const { ids, caLinks } = this.#store.host;
    if (header === null || header.ids !== ids || header.noted.join() !== notedFiles(caLinks).join())
      return null;
    return openLayer(directory, header);
  }

  /** Unpacks and stores a layer. */
  async add(
    staging: Staging,
    diffId: string,
    source: Pick<LayerSource, 'archive' | 'limit' | 'names'>,
    signal: AbortSignal,
  ): Promise<StoredLayer> {
    const { host, layersDirectory } = this.#store;
    const made = join(staging.layers, nameOf(diffId));
    await mkdir(made, { mode: 0o700 });
    await chmod(made, host.mode);
    await host.makeTree(join(made, FILES));
    const unpacker = await host.startUnpacker(join(made, FILES), null, signal);
    try {
      await storeLayer(made, unpacker, { ...source, noted: notedFiles(host.caLinks), ids: host.ids });
    } finally {
      await unpacker.close();
    }
    await this.#store.locked(async () => {
      // Another pull may have stored it meanwhile.
      if ((await this.find(diffId)) !== null) return;
      await mkdir(layersDirectory, { recursive: true, mode: 0o700 });
      await chmod(layersDirectory, host.mode);
      const place = join(layersDirectory, basename(made));
      await rename(place, this.#store.removedPlace(basename(made))).catch(ignoreMissing);
      await rename(made, place);
    });
    const stored = await this.find(diffId);
    if (stored === null) throw new Error(`layer ${diffId} disappeared right after it was stored`);
    return stored;
  }

  /** Removes the layers that no image has and no pull uses. Does nothing if an image cannot be read. */
  async removeUnused(): Promise<void> {
    const { host, layersDirectory } = this.#store;
    if ((await namesIn(layersDirectory)).length === 0) return;
    const removed = await this.#store.locked(async () => {
      const used = await this.#used();
      const places: string[] = [];
      for (const name of await namesIn(layersDirectory)) {
        if (used === null || used.has(name)) continue;
        const place = this.#store.removedPlace(name);
        await rename(join(layersDirectory, name), place);
        places.push(place);
      }
      if ((await namesIn(layersDirectory)).length === 0) await rmdir(layersDirectory).catch(ignoreMissing);
      return places;
    });
    await host.removeTrees(removed);
  }

  /** Null if a record is damaged: that image might have any layer. */
  async #used(): Promise<Set<string> | null> {
    const { host } = this.#store;
    const used = new Set<string>();
    try {
      for (const name of await this.#store.names())
        for (const diffId of (await this.#store.find(name))?.layers ?? []) used.add(nameOf(diffId));
    } catch (error) {
      if (error instanceof SandboxError) return null;
      throw error;
    }
    for (const name of await namesIn(host.directory)) {
      if (!name.startsWith('.new.')) continue;
      for (const layer of await reservedIn(join(host.directory, name, 'layers', IN_USE))) used.add(layer);
    }
    return used;
  }
}

async function reservedIn(path: string): Promise<string[]> {
  try {
    const names: unknown = JSON.parse(await readFile(path, 'utf8'));
    return Array.isArray(names) ? names.map(String) : [];
  } catch (error) {
    // Written under the lock, so the process that wrote only a part of it is dead.
    if (!(error instanceof SyntaxError)) ignoreMissing(error);
    return [];
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    ignoreMissing(error);
    return [];
  });
}

function ignoreMissing(error: unknown): void {
  if (!['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) throw error;
}
