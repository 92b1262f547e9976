import { chmod, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAbandonedTemporary, writeFileAtomic } from '../shared/atomic-file.ts';
import { mapBounded } from '../shared/bounded.ts';
import { SandboxError, systemErrorCode } from '../shared/errors.ts';
import { fileStamp } from '../shared/file-stamp.ts';
import { isSandboxId } from '../shared/ids.ts';
import { KeyedLock } from '../shared/keyed-lock.ts';
import type { Logger } from '../shared/log.ts';
import { formatRecord, type OwnershipRecord, parseRecord, UnreadableRecord } from './record.ts';

const MAX_KNOWN = 1_000;
const RECORD_NAME = /^(sbx_.+)\.json$/;

/**
 * The ownership records of a state directory, one file a sandbox, shared by every process of the user. There is no lock
 * between processes: each write is whole, and each change is one that may be made twice.
 */
export class RecordStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #lock = new KeyedLock();
  readonly #reported = new Set<string>();
  /** As last read, by path. Writers replace the file, so another content has another stamp. */
  readonly #known = new Map<string, { stamp: string; record: OwnershipRecord }>();

  /** `directory` is made, closed to other users, when it is first written to. */
  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * On disk when this resolves.
   *
   * @throws SandboxError `server` where the disk refuses
   */
  async write(record: OwnershipRecord): Promise<void> {
    await this.#lock.run(record.sandboxId, () => this.#put(record));
  }

  /**
   * Null where there is no record.
   *
   * @throws SandboxError `internal` for a record that cannot be read; the log names the file
   */
  async read(sandboxId: string): Promise<OwnershipRecord | null> {
    if (!isSandboxId(sandboxId)) return null;
    const path = this.#path(sandboxId);
    try {
      const stamp = fileStamp(path);
      const known = this.#known.get(path);
      if (known !== undefined && known.stamp === stamp) return known.record;
      const record = parseRecord(await readFile(path, 'utf8'), sandboxId);
      if (stamp !== null) this.#remember(path, stamp, record);
      return record;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') {
        this.#known.delete(path);
        return null;
      }
      this.#report(path, error);
      throw new SandboxError('internal', `The ownership record of ${sandboxId} cannot be read.`, {
        hint: 'Other sandboxes are not affected: call sandbox_create for a new one. The server log names the file.',
        details: { sandbox_id: sandboxId },
        cause: error,
      });
    }
  }

  /** Every record that can be read, in no order. One that cannot be is reported in the log and left out. */
  async all(): Promise<OwnershipRecord[]> {
    const sandboxIds: string[] = [];
    for (const name of await this.#names()) {
      const sandboxId = RECORD_NAME.exec(name)?.[1];
      if (sandboxId === undefined) continue;
      if (isSandboxId(sandboxId)) sandboxIds.push(sandboxId);
      else this.#report(join(this.#directory, name), new UnreadableRecord('its name is no sandbox id'));
    }
    // `read` has reported an unreadable one; what one sandbox has lost must not stop the others.
    const records = await mapBounded(sandboxIds, 16, (sandboxId) => this.read(sandboxId).catch(() => null));
    return records.filter((record) => record !== null);
  }

  /** Changes a record and answers it as it is now; one that is gone stays gone, and is null. */
  async update(
    sandboxId: string,
    change: (record: OwnershipRecord) => OwnershipRecord,
  ): Promise<OwnershipRecord | null> {
    return this.#lock.run(sandboxId, async () => {
      const before = await this.read(sandboxId);
      if (before === null) return null;
      const after = change(before);
      if (after !== before) await this.#put(after);
      return after;
    });
  }

  /** No error where there is none. */
  async remove(sandboxId: string): Promise<void> {
    await this.#lock.run(sandboxId, () => rm(this.#path(sandboxId), { force: true }));
  }

  /** Removes what writes left that a crash interrupted. A write under way, here or elsewhere, is not touched. */
  async removeAbandoned(): Promise<void> {
    for (const name of await this.#names()) {
      if (isAbandonedTemporary(name)) await rm(join(this.#directory, name), { force: true });
    }
  }

  async #put(record: OwnershipRecord): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await chmod(this.#directory, 0o700);
      await writeFileAtomic(this.#path(record.sandboxId), formatRecord(record));
    } catch (error) {
      throw new SandboxError('server', `The ownership of ${record.sandboxId} could not be recorded.`, {
        hint: 'Ask the operator to look at the state directory (free space, permissions); the server log has more.',
        details: { sandbox_id: record.sandboxId },
        cause: error,
      });
    }
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return [];
      throw new SandboxError('server', 'The ownership records cannot be listed.', {
        hint: 'Ask the operator to look at the state directory (permissions); the server log has more.',
        cause: error,
      });
    }
  }

  #remember(path: string, stamp: string, record: OwnershipRecord): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(path, { stamp, record });
  }

  #path(sandboxId: string): string {
    return join(this.#directory, `${sandboxId}.json`);
  }

  /** Once a file: a list asked for every second must not fill the log. */
  #report(file: string, error: unknown): void {
    if (this.#reported.has(file)) return;
    this.#reported.add(file);
    this.#log.error({ file, err: error }, 'An ownership record cannot be read. It is left as it is.');
  }
}
