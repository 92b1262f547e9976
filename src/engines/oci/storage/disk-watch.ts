/**
 * Ends sandboxes that exceed their disk limit. Most file systems offer an unprivileged process no directory
 * quota, so this polls: a sandbox can exceed its limit by what it writes in a second.
 */
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import type { Logger } from '../../../shared/log.ts';

const MIB = 1_048_576;
const CHECK_MS = 1_000;
/** Walk this often even if free space has not shrunk: one sandbox may free what another one writes. */
const CHECKS_PER_WALK = 30;
const WALKS_AT_ONCE = 4;
/** Minimum size that a file counts as: the number of inodes is limited too. */
const FILE_BYTES = 4_096;
/** More than what a sandbox has when it starts: directories and a few small files. */
const NEW_BYTES = 2 * MIB;

/** An amount of used or free disk space. */
export interface DiskUse {
  bytes: number;
  /** Number of inodes; 0 if the file system does not report free ones. */
  files: number;
}

/** The disk use of a volume, and its limit. */
export interface VolumeUse {
  name: string;
  use: DiskUse;
  limitMb: number;
}

/** The disk use of a sandbox, and of each volume that it can write to. */
export interface SandboxUse extends DiskUse {
  volumes?: VolumeUse[];
}

export interface DiskProbe {
  /** Free space of the file system that holds the sandboxes; cheap. */
  free(): Promise<DiskUse>;
  /**
   * Disk use of a sandbox, by walking its files. Null if it no longer runs, infinite if they cannot be
   * counted.
   */
  used(sandboxId: string): Promise<SandboxUse | null>;
  /** Ends a sandbox whose files, or those of a volume that it has mounted, exceed their limit. */
  end(
    sandboxId: string,
    usedBytes: number,
    volume: Pick<VolumeUse, 'name' | 'limitMb'> | null,
  ): Promise<void>;
}

interface Watched {
  limitBytes: number;
  /** How much could be written until the nearest limit when it was measured. */
  roomBytes: number;
  /**
   * Free space at that time: use cannot have grown by more than free space fell. Null before the first walk.
   */
  freeThen: DiskUse | null;
  checks: number;
}

/** Watches the disk use of sandboxes in this process. */
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

  /**
   * Watches a sandbox until it ends; null: no limit. Its files, and its volumes if it has any, are walked at
   * the next check.
   */
  watch(sandboxId: string, limitMb: number | null, hasVolumes = false): void {
    if (limitMb === null && !hasVolumes) return;
    const limitBytes = limitMb === null ? Number.POSITIVE_INFINITY : limitMb * MIB;
    this.#watched.set(sandboxId, { limitBytes, roomBytes: 0, freeThen: null, checks: 0 });
    this.#timer ??= setInterval(() => void this.check(), CHECK_MS).unref();
  }

  /**
   * Watches one that has just been created and has no volumes. What is free now is what its growth is measured
   * by, so its files need not be walked soon, which costs several processes.
   */
  async watchNew(sandboxId: string, limitMb: number | null): Promise<void> {
    if (limitMb === null) return;
    this.watch(sandboxId, limitMb);
    const watched = this.#watched.get(sandboxId);
    try {
      const freeThen = await this.#probe.free();
      if (watched === undefined || watched.freeThen !== null) return;
      Object.assign(watched, { roomBytes: Math.max(0, limitMb * MIB - NEW_BYTES), freeThen });
    } catch (error) {
      // The next check walks the files.
      this.#log.warn({ err: error }, 'cannot read the free disk space');
    }
  }

  /** Stops watching a sandbox. */
  unwatch(sandboxId: string): void {
    this.#watched.delete(sandboxId);
  }

  /** Checks all of them, or joins the check in progress. Never rejects. */
  check(): Promise<void> {
    this.#looking ??= this.#checkAll().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#watched.clear();
  }

  async #checkAll(): Promise<void> {
    try {
      const free = await this.#probe.free();
      await mapConcurrent([...this.#watched], WALKS_AT_ONCE, ([sandboxId, watched]) =>
        this.#checkOne(sandboxId, watched, free),
      );
    } catch (error) {
      this.#log.warn({ err: error }, 'cannot read the free disk space');
    }
  }

  async #checkOne(sandboxId: string, watched: Watched, free: DiskUse): Promise<void> {
    watched.checks += 1;
    if (fallen(watched.freeThen, free) <= watched.roomBytes && watched.checks < CHECKS_PER_WALK) return;
    try {
      const use = await this.#probe.used(sandboxId);
      if (use === null) {
        this.unwatch(sandboxId);
        return;
      }
      const measured = [
        { used: sizeOf(use), limitBytes: watched.limitBytes, volume: null },
        ...(use.volumes ?? []).map((volume) => ({
          used: sizeOf(volume.use),
          limitBytes: volume.limitMb * MIB,
          volume,
        })),
      ];
      const roomBytes = Math.min(...measured.map(({ used, limitBytes }) => limitBytes - used));
      Object.assign(watched, { roomBytes, freeThen: free, checks: 0 });
      const exceeded = measured.find(({ used, limitBytes }) => used > limitBytes);
      if (exceeded === undefined) return;
      await this.#probe.end(sandboxId, exceeded.used, exceeded.volume);
      this.unwatch(sandboxId);
    } catch (error) {
      this.#log.warn({ sandbox_id: sandboxId, err: error }, 'cannot measure the disk use of a sandbox');
    }
  }
}

/** What a tree counts as, in bytes. */
function sizeOf({ bytes, files }: DiskUse): number {
  return Math.max(bytes, files * FILE_BYTES);
}

/** How far free space has fallen, in bytes; infinite without an earlier measurement. */
function fallen(before: DiskUse | null, now: DiskUse): number {
  if (before === null) return Number.POSITIVE_INFINITY;
  return Math.max(0, before.bytes - now.bytes) + Math.max(0, before.files - now.files) * FILE_BYTES;
}
