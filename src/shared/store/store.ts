/** State that several replicas of the server share: texts in collections, and leases. */
import { SandboxError } from '../errors.ts';

/**
 * Every method may reject with `unavailable`: then it is unknown whether a change was made. Collections and ids
 * are ours, never what a client sent.
 */
export interface Store {
  /** Null if there is none. */
  read(collection: string, id: string): Promise<string | null>;
  /** Every text of a collection by its id, in no particular order. */
  all(collection: string): Promise<Map<string, string>>;
  ids(collection: string): Promise<string[]>;
  /**
   * Replaces a text atomically if it is still `before`; false if it is not. Null stands for no text, so that
   * the same method creates and removes.
   */
  swap(collection: string, id: string, before: string | null, after: string | null): Promise<boolean>;
  /** Removes a collection with all it holds. */
  drop(collection: string): Promise<void>;
  /**
   * Takes or renews a lease, which ends by itself after `ms`. False while another holder has it. The store's own
   * clock counts.
   */
  hold(lease: string, holder: string, ms: number): Promise<boolean>;
  /** The present holder of a lease; null if nobody holds it. */
  holder(lease: string): Promise<string | null>;
  /** Gives a lease back. Does nothing if another holder has it. */
  release(lease: string, holder: string): Promise<void>;
  close(): Promise<void>;
}

/** How often a change is tried again because another process was faster. */
const MAX_TRIES = 100;

/**
 * Changes a text atomically and returns the new one. `change` gets null if there is none, and may be called
 * several times; what it returns unchanged is not written.
 */
export async function change(
  store: Store,
  collection: string,
  id: string,
  changed: (text: string | null) => string | null,
): Promise<string | null> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const before = await store.read(collection, id);
    const after = changed(before);
    if (after === before || (await store.swap(collection, id, before, after))) return after;
  }
  throw new SandboxError('conflict', `Other replicas change ${id} all the time.`, {
    hint: 'Call again in a moment.',
  });
}

/** The error for a store that does not answer. */
export function storeUnavailable(cause: unknown): SandboxError {
  return new SandboxError(
    'unavailable',
    'The store that the replicas of this server share does not answer.',
    {
      hint: 'Call again in a moment. If it persists, ask the operator to check the address in --store.',
      cause,
    },
  );
}
