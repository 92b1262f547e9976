import { chmod, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedLock } from '../../shared/async/keyed-lock.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { isAbandonedTemporary, writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { fileStamp } from '../../shared/fs/file-stamp.ts';
import { requirePrivatePath } from '../../shared/fs/private-path.ts';
import { makeDirectory, stateDirectoryError } from '../../shared/fs/state-directory.ts';
import type { Logger } from '../../shared/log.ts';
import { UnreadableRecord } from './record-format.ts';
import type { Records } from './records.ts';

const MAX_KNOWN = 1_000;

/** The kind of record in a store: how to identify, write and parse one. */
export interface RecordKind<Item> {
  /** Used in messages: `sandbox`, `snapshot`. */
  readonly noun: string;
  /** Prefix of every id, and so of every file name. */
  readonly prefix: string;
  isId(text: string): boolean;
  idOf(record: Item): string;
  /** True for a record that never changes again, except that it is removed. */
  isFinal(record: Item): boolean;
  format(record: Item): string;
  /** @throws UnreadableRecord */
  parse(text: string, id: string): Item;
}

/**
 * The ownership records of a state directory, one file each, shared by all processes of the user. There is no
 * lock between processes: every write is atomic, and every change is idempotent.
 */
export class RecordStore<Item> implements Records<Item> {
  readonly #kind: RecordKind<Item>;
  readonly #directory: string;
  readonly #log: Logger;
  readonly #lock = new KeyedLock();
  readonly #reported = new Set<string>();
  #isPrivate = false;
  /** Records as last read, by path. Writers replace the file, so a changed file has another stamp. */
  readonly #known = new Map<string, { stamp: string; record: Item }>();
  /** Ids of final records that were read: there may be thousands, which nobody has to read again. */
  readonly #final = new Set<string>();

  /** `directory` is created on the first write, inaccessible to other users. */
  constructor(kind: RecordKind<Item>, directory: string, log: Logger) {
    this.#kind = kind;
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * The record is on disk when this resolves.
   *
   * @throws SandboxError `unavailable` if the state directory cannot be used, `server` if the disk fails
   */
  async write(record: Item): Promise<void> {
    await this.#lock.run(this.#kind.idOf(record), () => this.#put(record));
  }

  /**
   * Null if there is no record.
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
      if (this.#kind.isFinal(record)) this.#final.add(id);
      return record;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') {
        this.#known.delete(path);
        return null;
      }
      this.#report(path, error);
      throw new SandboxError('internal', `The ownership record of ${id} cannot be read.`, {
        hint: `Only this ${this.#kind.noun} is affected. The server log names the file.`,
        details: this.#details(id),
        cause: error,
      });
    }
  }

  /** Every readable record, in no particular order. Unreadable ones are logged and skipped. */
  async all(): Promise<Item[]> {
    return this.#readable(await this.#ids());
  }

  /** The same without final records: as fast with thousands of those as without. */
  async unfinished(): Promise<Item[]> {
    const ids = await this.#ids();
    if (this.#final.size > ids.length) this.#forgetRemoved(ids);
    const records = await this.#readable(ids.filter((id) => !this.#final.has(id)));
    return records.filter((record) => !this.#kind.isFinal(record));
  }

  async #readable(ids: readonly string[]): Promise<Item[]> {
    // `read` has logged an unreadable record; it must not hide the others.
    const records = await mapConcurrent(ids, 16, (id) => this.read(id).catch(() => null));
    return records.filter((record) => record !== null);
  }

  #forgetRemoved(present: readonly string[]): void {
    const ids = new Set(present);
    for (const id of this.#final) if (!ids.has(id)) this.#final.delete(id);
  }

  /** The ids of records with damaged contents. Those that a newer version has written are not among them. */
  async damaged(): Promise<string[]> {
    const ids = await this.#ids();
    const isDamaged = await mapConcurrent(ids, 16, async (id) => {
      try {
        this.#kind.parse(await readFile(this.#path(id), 'utf8'), id);
        return false;
      } catch (error) {
        return error instanceof UnreadableRecord && !error.isNewer;
      }
    });
    return ids.filter((_, index) => isDamaged[index]);
  }

  /** Changes a record and returns the new one. Null if the record is gone: it is not created again. */
  async update(id: string, change: (record: Item) => Item): Promise<Item | null> {
    return this.#lock.run(id, async () => {
      const before = await this.read(id);
      if (before === null) return null;
      const after = change(before);
      if (after !== before) await this.#put(after);
      return after;
    });
  }

  /** A missing record is no error. */
  async remove(id: string): Promise<void> {
    await this.#lock.run(id, () => rm(this.#path(id), { force: true }));
  }

  /**
   * Removes temporary files of writes that a crash interrupted. Writes in progress, here or elsewhere, are
   * left alone.
   */
  async removeAbandoned(): Promise<void> {
    for (const name of await this.#names()) {
      if (isAbandonedTemporary(name)) await rm(join(this.#directory, name), { force: true });
    }
  }

  async #put(record: Item): Promise<void> {
    try {
      await makeDirectory(this.#directory, 0o700);
      await this.#requirePrivate();
      await chmod(this.#directory, 0o700);
      await writeFileAtomic(this.#path(this.#kind.idOf(record)), this.#kind.format(record));
    } catch (error) {
      if (error instanceof SandboxError) throw error;
      const problem = stateDirectoryError(error, this.#directory);
      if (problem !== error) throw problem;
      throw new SandboxError('server', `The ownership of ${this.#kind.idOf(record)} could not be recorded.`, {
        hint: 'Ask the operator to check the state directory (free space, permissions); the server log has details.',
        details: this.#details(this.#kind.idOf(record)),
        cause: error,
      });
    }
  }

  async #names(): Promise<string[]> {
    try {
      await this.#requirePrivate();
      return await readdir(this.#directory);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      if (error instanceof SandboxError) throw error;
      const problem = stateDirectoryError(error, this.#directory);
      if (problem !== error) throw problem;
      throw new SandboxError('server', 'The ownership records cannot be listed.', {
        hint: 'Ask the operator to check the permissions of the state directory; the server log has details.',
        cause: error,
      });
    }
  }

  /** Checked until it holds once: from then on, nobody else can change what was checked. */
  async #requirePrivate(): Promise<void> {
    if (this.#isPrivate) return;
    requirePrivatePath(this.#directory);
    this.#isPrivate = true;
  }

  /** Files whose name is no id are logged and skipped. */
  async #ids(): Promise<string[]> {
    const ids: string[] = [];
    for (const name of await this.#names()) {
      const id = this.#idOfFile(name);
      if (id === undefined) continue;
      if (this.#kind.isId(id)) ids.push(id);
      else this.#report(join(this.#directory, name), new UnreadableRecord('its name is not a valid id'));
    }
    return ids;
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

  /** Logs once per file: a list polled every second must not fill the log. */
  #report(file: string, error: unknown): void {
    if (this.#reported.has(file)) return;
    this.#reported.add(file);
    this.#log.error({ file, err: error }, 'An ownership record cannot be read; leaving it as it is.');
  }
}
