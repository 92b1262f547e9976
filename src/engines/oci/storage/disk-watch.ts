/**
 * Ends sandboxes whose files take more than they may. Most file systems offer an unprivileged process no quota for a
 * directory, so this looks: it is late by as much as a second writes.
 */
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import type { Logger } from '../../../shared/log.ts';

const MIB = 1_048_576;
const CHECK_MS = 1_000;
/** A walk is due this often, whatever the free space says: what one sandbox writes another may have removed. */
const CHECKS_PER_WALK = 30;
const WALKS_AT_ONCE = 4;
/** What a file counts for at least: the disk has room for a number of them, empty ones too. */
const FILE_BYTES = 4_096;

/** An amount of disk, or of what is left of it. */
export interface DiskUse {
  bytes: number;
  /** Files of every kind; 0 where the file system does not count what is left of them. */
  files: number;
}

export interface DiskProbe {
  /** What is free on the file system that holds the sandboxes; cheap. */
  free(): Promise<DiskUse>;
  /** What a sandbox's files take; it walks them. Null for one that runs no more, infinite where they cannot be counted. */
  used(sandboxId: string): Promise<DiskUse | null>;
  /** Ends a sandbox that takes more than its limit. */
  end(sandboxId: string, usedBytes: number): Promise<void>;
}

interface Watched {
  limitBytes: number;
  used: number;
  /** What was free when `used` was counted: it cannot have grown by more than this has fallen. Null before the first walk. */
  freeThen: DiskUse | null;
  looks: number;
}

/** The sandboxes that this process watches. */
export class DiskWatch {
  readonly #watched = new Map<string, Watched>();
  readonly #probe: DiskProbe;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;

  constructor(probe: DiskProbe, log: Logger) {
    this.#probe = probe;
    this.#log = log;
  }

  /** Watches a sandbox until it has ended; null is no limit. It is walked at the next look. */
  watch(sandboxId: string, limitMb: number | null): void {
    if (limitMb === null) return;
    const limitBytes = limitMb * MIB;
    this.#watched.set(sandboxId, { limitBytes, used: 0, freeThen: null, looks: 0 });
    this.#timer ??= setInterval(() => void this.look(), CHECK_MS).unref();
  }

  /** Lets go of a sandbox that is no more. */
  unwatch(sandboxId: string): void {
    this.#watched.delete(sandboxId);
  }

  /** One look at all of them, or the one under way. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#watched.clear();
  }

  async #lookAtAll(): Promise<void> {
    try {
      const free = await this.#probe.free();
      await mapConcurrent([...this.#watched], WALKS_AT_ONCE, ([sandboxId, watched]) =>
        this.#lookAt(sandboxId, watched, free),
      );
    } catch (error) {
      this.#log.warn({ err: error }, 'the free disk space could not be read');
    }
  }

  async #lookAt(sandboxId: string, watched: Watched, free: DiskUse): Promise<void> {
    watched.looks += 1;
    const atMost = watched.used + fallen(watched.freeThen, free);
    if (atMost <= watched.limitBytes && watched.looks < CHECKS_PER_WALK) return;
    try {
      const use = await this.#probe.used(sandboxId);
      if (use === null) {
        this.unwatch(sandboxId);
        return;
      }
      const used = Math.max(use.bytes, use.files * FILE_BYTES);
      Object.assign(watched, { used, freeThen: free, looks: 0 });
      if (used <= watched.limitBytes) return;
      await this.#probe.end(sandboxId, used);
      this.unwatch(sandboxId);
    } catch (error) {
      this.#log.warn(
        { sandbox_id: sandboxId, err: error },
        'the disk use of a sandbox could not be looked at',
      );
    }
  }
}

/** How much less is free now, in bytes; without a former figure anything can have happened. */
function fallen(before: DiskUse | null, now: DiskUse): number {
  if (before === null) return Number.POSITIVE_INFINITY;
  return Math.max(0, before.bytes - now.bytes) + Math.max(0, before.files - now.files) * FILE_BYTES;
}
