import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrent } from '../async/map-concurrent.ts';
import { systemErrorCode } from '../errors.ts';
import { writeFileAtomic } from '../fs/atomic-file.ts';
import { withFileLock } from '../fs/file-lock.ts';
import { makeDirectory } from '../fs/state-directory.ts';
import { change, type Store } from './store.ts';

const LEASES = 'leases';

interface StoredLease {
  readonly holder: string;
  /** Epoch ms. */
  readonly until: number;
}

/** A store in a directory, for replicas on one machine: they share its clock and its process ids. */
export class FilesStore implements Store {
  readonly #directory: string;

  /** `directory` is created on the first write, inaccessible to other users. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(collection: string, id: string): Promise<string | null> {
    try {
      return await readFile(this.#path(collection, id), 'utf8');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  async all(collection: string): Promise<Map<string, string>> {
    const ids = await this.ids(collection);
    const texts = await mapConcurrent(ids, 16, (id) => this.read(collection, id));
    const found = new Map<string, string>();
    for (const [index, id] of ids.entries()) {
      const text = texts[index];
      if (typeof text === 'string') found.set(id, text);
    }
    return found;
  }

  async ids(collection: string): Promise<string[]> {
    try {
      const names = await readdir(this.#folder(collection));
      return names
        .filter((name) => name.endsWith('.json'))
        .map((name) => decodeURIComponent(name.slice(0, -'.json'.length)));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw error;
    }
  }

  async swap(collection: string, id: string, before: string | null, after: string | null): Promise<boolean> {
    const path = this.#path(collection, id);
    await makeDirectory(this.#folder(collection), 0o700);
    return withFileLock(`${path}.lock`, async () => {
      if ((await this.read(collection, id)) !== before) return false;
      if (after === null) await rm(path, { force: true });
      else if (after !== before) await writeFileAtomic(path, after);
      return true;
    });
  }

  async drop(collection: string): Promise<void> {
    await rm(this.#folder(collection), { recursive: true, force: true, maxRetries: 3 });
  }

  async hold(lease: string, holder: string, ms: number): Promise<boolean> {
    let isHeld = false;
    await change(this, LEASES, lease, (text) => {
      const present = parseLease(text);
      isHeld = present === null || present.holder === holder;
      return isHeld ? JSON.stringify({ holder, until: Date.now() + ms, nonce: nonce() }) : text;
    });
    return isHeld;
  }

  async holder(lease: string): Promise<string | null> {
    return parseLease(await this.read(LEASES, lease))?.holder ?? null;
  }

  async release(lease: string, holder: string): Promise<void> {
    await change(this, LEASES, lease, (text) => (parseLease(text)?.holder === holder ? null : text));
  }

  async close(): Promise<void> {}

  #folder(collection: string): string {
    return join(this.#directory, encodeURIComponent(collection));
  }

  #path(collection: string, id: string): string {
    return join(this.#folder(collection), `${encodeURIComponent(id)}.json`);
  }
}

/** So that no two texts of a lease are equal: a renewal would otherwise not be seen by who takes it over. */
function nonce(): string {
  return randomBytes(6).toString('hex');
}

/** Null for one that has run out. */
function parseLease(text: string | null): StoredLease | null {
  if (text === null) return null;
  const { holder, until }: Partial<StoredLease> = JSON.parse(text);
  if (typeof holder !== 'string' || typeof until !== 'number') return null;
  return until > Date.now() ? { holder, until } : null;
}
