/**
 * Ends sandboxes whose files take more than they may. Most file systems offer an unprivileged process no quota for a
 * directory, so this looks: it is late by as much as a second writes.
 */
import type { Logger } from '../../shared/log.ts';

const MIB = 1_048_576;
const LOOK_MS = 1_000;
/** A walk is due this often, whatever the free space says: what one sandbox writes another may have removed. */
const LOOKS_A_WALK = 30;

export interface DiskProbe {
  /** What is free on the file system that holds the sandboxes; cheap. */
  freeBytes(): Promise<number>;
  /** What a sandbox's files take; it walks them. Null for one that runs no more. */
  usedBytes(sandboxId: string): Promise<number | null>;
  /** Ends a sandbox that takes more than its limit. */
  end(sandboxId: string, usedBytes: number): Promise<void>;
}

interface Watched {
  limitBytes: number;
  used: number;
  /** Free space when `used` was counted: it cannot have grown by more than this has fallen. */
  freeThen: number;
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
    this.#watched.set(sandboxId, { limitBytes, used: 0, freeThen: Number.POSITIVE_INFINITY, looks: 0 });
    this.#timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
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
      const free = await this.#probe.freeBytes();
      for (const [sandboxId, watched] of this.#watched) await this.#lookAt(sandboxId, watched, free);
    } catch (error) {
      this.#log.warn({ err: error }, 'the free disk space could not be read');
    }
  }

  async #lookAt(sandboxId: string, watched: Watched, free: number): Promise<void> {
    watched.looks += 1;
    const mayHaveGrown = watched.used + (watched.freeThen - free);
    if (mayHaveGrown <= watched.limitBytes && watched.looks < LOOKS_A_WALK) return;
    try {
      const used = await this.#probe.usedBytes(sandboxId);
      if (used === null) {
        this.#watched.delete(sandboxId);
        return;
      }
      Object.assign(watched, { used, freeThen: free, looks: 0 });
      if (used <= watched.limitBytes) return;
      await this.#probe.end(sandboxId, used);
      this.#watched.delete(sandboxId);
    } catch (error) {
      this.#log.warn(
        { sandbox_id: sandboxId, err: error },
        'the disk use of a sandbox could not be looked at',
      );
    }
  }
}
