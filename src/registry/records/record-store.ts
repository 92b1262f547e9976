import { chmod, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedLock } from '../../shared/async/keyed-lock.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { isAbandonedTemporary, writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { fileStamp } from '../../shared/fs/file-stamp.ts';
import { makeDirectory, stateDirectoryError } from '../../shared/fs/state-directory.ts';
import type { Logger } from '../../shared/log.ts';
import { UnreadableRecord } from './record-format.ts';

const MAX_KNOWN = 1_000;

/** What is kept in a store: how to tell, write and read one. */
export interface RecordKind<Item> {
  /** As told in messages: `sandbox`, `snapshot`. */
  readonly noun: string;
  /** Begins every id, and so every file's name. */
  readonly prefix: string;
  isId(text: string): boolean;
  idOf(record: Item): string;
  format(record: Item): string;
  /** @throws UnreadableRecord */
  parse(text: string, id: string): Item;
}

/**
 * The ownership records of a state directory, one file each, shared by every process of the user. There is no lock
 * between processes: each write is whole, and each change is one that may be made twice.
 */
export class RecordStore<Item> {
  readonly #kind: RecordKind<Item>;
  readonly #directory: string;
  readonly #log: Logger;
  readonly #lock = new KeyedLock();
  readonly #reported = new Set<string>();
  /** As last read, by path. Writers replace the file, so another content has another stamp. */
  readonly #known = new Map<string, { stamp: string; record: Item }>();

  /** `directory` is made, closed to other users, when it is first written to. */
  constructor(kind: RecordKind<Item>, directory: string, log: Logger) {
    this.#kind = kind;
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * On disk when this resolves.
   *
   * @throws SandboxError `unavailable` where the state directory cannot be used, `server` where the disk fails
   */
  async write(record: Item): Promise<void> {
    await this.#lock.run(this.#kind.idOf(record), () => this.#put(record));
  }

  /**
   * Null where there is no record.
   *
   * @throws SandboxError `internal` for a record that cannot be read; the log names the file
   */
  async read(id: string): Promise<Item | null> {
    if (!this.#kind.isId(id)) return null;
    const path = this.#path(id);
    try {
      const stamp = fileStamp(path);
      const known = this.#known.get(path);
      if (known !== undefined && known.stamp === stamp) return known.record;
      const record = this.#kind.parse(await readFile(path, 'utf8'), id);
      if (stamp !== null) this.#remember(path, stamp, record);
      return record;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') {
        this.#known.delete(path);
        return null;
      }
      this.#report(path, error);
      throw new SandboxError('internal', `The ownership record of ${id} cannot be read.`, {
        hint: `No other ${this.#kind.noun} is affected. The server log names the file.`,
        details: this.#details(id),
        cause: error,
      });
    }
  }

  /** Every record that can be read, in no order. One that cannot be is reported in the log and left out. */
  async all(): Promise<Item[]> {
    const ids: string[] = [];
    for (const name of await this.#names()) {
      const id = this.#idOfFile(name);
      if (id === undefined) continue;
      if (this.#kind.isId(id)) ids.push(id);
      else this.#report(join(this.#directory, name), new UnreadableRecord('its name is no id'));
    }
    // `read` has reported an unreadable one; what one has lost must not stop the others.
    const records = await mapConcurrent(ids, 16, (id) => this.read(id).catch(() => null));
    return records.filter((record) => record !== null);
  }

  /** Changes a record and answers it as it is now; one that is gone stays gone, and is null. */
  async update(id: string, change: (record: Item) => Item): Promise<Item | null> {
    return this.#lock.run(id, async () => {
      const before = await this.read(id);
      if (before === null) return null;
      const after = change(before);
      if (after !== before) await this.#put(after);
      return after;
    });
  }

  /** No error where there is none. */
  async remove(id: string): Promise<void> {
    await this.#lock.run(id, () => rm(this.#path(id), { force: true }));
  }

  /** Removes what writes left that a crash interrupted. A write under way, here or elsewhere, is not touched. */
  async removeAbandoned(): Promise<void> {
    for (const name of await this.#names()) {
      if (isAbandonedTemporary(name)) await rm(join(this.#directory, name), { force: true });
    }
  }

  async #put(record: Item): Promise<void> {
    try {
      await makeDirectory(this.#directory, 0o700);
      await chmod(this.#directory, 0o700);
      await writeFileAtomic(this.#path(this.#kind.idOf(record)), this.#kind.format(record));
    } catch (error) {
      const problem = stateDirectoryError(error, this.#directory);
      if (problem !== error) throw problem;
      throw new SandboxError('server', `The ownership of ${this.#kind.idOf(record)} could not be recorded.`, {
        hint: 'Ask the operator to look at the state directory (free space, permissions); the server log has more.',
        details: this.#details(this.#kind.idOf(record)),
        cause: error,
      });
    }
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      const problem = stateDirectoryError(error, this.#directory);
      if (problem !== error) throw problem;
      throw new SandboxError('server', 'The ownership records cannot be listed.', {
        hint: 'Ask the operator to look at the state directory (permissions); the server log has more.',
        cause: error,
      });
    }
  }

  #remember(path: string, stamp: string, record: Item): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(path, { stamp, record });
  }

  #idOfFile(name: string): string | undefined {
    return name.startsWith(this.#kind.prefix) && name.endsWith('.json')
      ? name.slice(0, -'.json'.length)
      : undefined;
  }

  #details(id: string): Record<string, string> {
    return { [`${this.#kind.noun}_id`]: id };
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }

  /** Once a file: a list asked for every second must not fill the log. */
  #report(file: string, error: unknown): void {
    if (this.#reported.has(file)) return;
    this.#reported.add(file);
    this.#log.error({ file, err: error }, 'An ownership record cannot be read. It is left as it is.');
  }
}
