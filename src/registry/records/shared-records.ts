import { SandboxError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { change, type Store } from '../../shared/store/store.ts';
import { UnreadableRecord } from './record-format.ts';
import type { RecordKind } from './record-store.ts';
import type { Records } from './records.ts';

/** Ownership records in a store that replicas share. Every change is atomic, whoever makes it. */
export class SharedRecords<Item> implements Records<Item> {
  readonly #kind: RecordKind<Item>;
  readonly #store: Store;
  readonly #collection: string;
  readonly #log: Logger;

  constructor(kind: RecordKind<Item>, store: Store, log: Logger) {
    this.#kind = kind;
    this.#store = store;
    this.#collection = `records:${kind.noun}`;
    this.#log = log;
  }

  async write(record: Item): Promise<void> {
    const text = this.#kind.format(record);
    await change(this.#store, this.#collection, this.#kind.idOf(record), () => text);
  }

  async read(id: string): Promise<Item | null> {
    if (!this.#kind.isId(id)) return null;
    const text = await this.#store.read(this.#collection, id);
    return text === null ? null : this.#parse(id, text);
  }

  async all(): Promise<Item[]> {
    const texts = await this.#store.all(this.#collection);
    return [...texts].flatMap(([id, text]) => {
      try {
        return [this.#parse(id, text)];
      } catch {
        // It is logged, and must not hide the others.
        return [];
      }
    });
  }

  async unfinished(): Promise<Item[]> {
    return (await this.all()).filter((record) => !this.#kind.isFinal(record));
  }

  async damaged(): Promise<string[]> {
    const texts = await this.#store.all(this.#collection);
    return [...texts].filter(([id, text]) => this.#isDamaged(id, text)).map(([id]) => id);
  }

  async update(id: string, changed: (record: Item) => Item): Promise<Item | null> {
    let after: Item | null = null;
    await change(this.#store, this.#collection, id, (text) => {
      after = null;
      if (text === null) return null;
      const before = this.#parse(id, text);
      after = changed(before);
      return after === before ? text : this.#kind.format(after);
    });
    return after;
  }

  async remove(id: string): Promise<void> {
    await change(this.#store, this.#collection, id, () => null);
  }

  async removeAbandoned(): Promise<void> {}

  #parse(id: string, text: string): Item {
    try {
      return this.#kind.parse(text, id);
    } catch (error) {
      this.#log.error({ id, err: error }, 'An ownership record cannot be read; leaving it as it is.');
      throw new SandboxError('internal', `The ownership record of ${id} cannot be read.`, {
        hint: `Only this ${this.#kind.noun} is affected. The server log has the reason.`,
        details: { [`${this.#kind.noun}_id`]: id },
        cause: error,
      });
    }
  }

  #isDamaged(id: string, text: string): boolean {
    try {
      this.#kind.parse(text, id);
      return false;
    } catch (error) {
      return error instanceof UnreadableRecord && !error.isNewer;
    }
  }
}
