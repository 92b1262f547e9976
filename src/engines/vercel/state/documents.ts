/** Where records are kept: in files of this machine, or in a store that replicas share. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import { change, type Store } from '../../../shared/store/store.ts';

/** Where one record is. In files, it is in a directory of its own. */
export interface Place {
  readonly directory: string;
  readonly file: string;
  readonly lock: string;
  readonly collection: string;
  readonly id: string;
}

export interface Documents {
  /** Null if there is none. */
  read(place: Place): Promise<string | null>;
  /** False if there is one. In files, the directory above must exist; a durable one survives a power cut. */
  create(place: Place, text: string, options?: { durable?: boolean }): Promise<boolean>;
  /** Changes a record atomically; the same text is not written. `change` gets null if there is none. */
  update(place: Place, change: (text: string | null) => string | null): Promise<void>;
  remove(place: Place): Promise<void>;
  /** The ids of all records next to each other, in any order. */
  ids(folder: string, collection: string): Promise<string[]>;
}

export const FILES: Documents = {
  async read({ file }) {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return null;
      throw error;
    }
  },
  async create({ directory, file }, text, { durable = false } = {}) {
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
      return false;
    }
    if (durable) await writeFileAtomic(file, text);
    else writeFileSync(file, text, { mode: 0o600, flag: 'wx' });
    return true;
  },
  update(place, changed) {
    return withFileLock(place.lock, async () => {
      const before = await this.read(place);
      const after = changed(before);
      if (after !== null && after !== before) await writeFileAtomic(place.file, after, 0o600, false);
    });
  },
  remove: ({ directory }) => rm(directory, { recursive: true, force: true }),
  ids: (folder) => listDirectory(folder),
};

export function sharedDocuments(store: Store): Documents {
  return {
    read: ({ collection, id }) => store.read(collection, id),
    create: ({ collection, id }, text) => store.swap(collection, id, null, text),
    async update({ collection, id }, changed) {
      await change(store, collection, id, changed);
    },
    async remove({ collection, id, directory }) {
      await change(store, collection, id, () => null);
      await rm(directory, { recursive: true, force: true });
    },
    ids: (_folder, collection) => store.ids(collection),
  };
}

/** @throws what `damaged` returns */
export function parseDocument<Data>(
  text: string,
  schema: { parse(data: unknown): Data },
  damaged: (cause: unknown) => Error,
): Data {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(error);
  }
}
