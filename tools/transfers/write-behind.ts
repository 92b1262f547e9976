/** Writes host files in the background while further bytes arrive, within fixed limits. */

/** Maximum bytes of one write. */
const BATCH_BYTES = 1_048_576;
/** Compared with pieces to find zeros; a longer piece counts as data. */
const ZEROS = Buffer.alloc(BATCH_BYTES);

/** Runs a limited number of tasks concurrently. The next method called reports the first failure. */
export class Background {
  readonly #most: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | null = null;

  constructor(most: number) {
    this.#most = most;
  }

  /** Starts the task once there is room. Rejects with the failure of an earlier one. */
  async add(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#most) await Promise.race(this.#running);
    this.#throwFailure();
    const running = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when no task is running. Never rejects. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** As `settled`, and rejects with the first failure. */
  async done(): Promise<void> {
    await this.settled();
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}

/** The required part of an open file's interface. */
export interface Sink {
  writev(buffers: readonly Buffer[], position: number): Promise<{ bytesWritten: number }>;
  truncate(length: number): Promise<void>;
  /** In seconds since 1970. */
  utimes(atime: number, mtime: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Buffered writes to one file: the next batch is collected while the previous one is written. A batch of
 * zeros becomes a hole, as it probably was in the sandbox: a sparse file there must not fill the disk here.
 */
export class FileWriter {
  readonly #open: () => Promise<Sink>;
  readonly #writing = new Background(1);
  #file: Sink | null = null;
  #batch: Buffer[] = [];
  #size = 0;
  /** The offset of the next batch. */
  #position = 0;
  #endsInHole = false;

  constructor(open: () => Promise<Sink>) {
    this.#open = open;
  }

  /** Whether everything added fits one batch, so that nothing has been written yet. */
  get idle(): boolean {
    return this.#file === null;
  }

  /** Waits while two batches are pending. Rejects with the failure of an earlier write. */
  async add(bytes: Buffer): Promise<void> {
    this.#batch.push(bytes);
    this.#size += bytes.length;
    if (this.#size >= BATCH_BYTES) await this.#flush();
  }

  /**
   * Writes the rest, sets the modification time (milliseconds since 1970) and closes the file. Rejects with
   * the first failure; the file is then closed as well.
   */
  async finish(mtimeMs?: number): Promise<void> {
    try {
      await this.#flush();
      await this.#writing.done();
      if (this.#endsInHole) await this.#file?.truncate(this.#position);
      if (mtimeMs !== undefined) await this.#file?.utimes(mtimeMs / 1_000, mtimeMs / 1_000);
    } finally {
      await this.close();
    }
  }

  /** Closes the file without writing the rest. */
  async close(): Promise<void> {
    await this.#writing.settled();
    await this.#file?.close();
    this.#file = null;
  }

  async #flush(): Promise<void> {
    this.#file ??= await this.#open();
    const file = this.#file;
    const batch = this.#batch;
    const position = this.#position;
    this.#position += this.#size;
    this.#batch = [];
    this.#size = 0;
    if (batch.length === 0) return;
    this.#endsInHole = batch.every(isZero);
    if (!this.#endsInHole) await this.#writing.add(() => writeAll(file, batch, position));
  }
}

function isZero(piece: Buffer): boolean {
  return piece.length <= ZEROS.length && ZEROS.compare(piece, 0, piece.length, 0, piece.length) === 0;
}

/** A write may accept less than it was given. */
async function writeAll(file: Sink, batch: readonly Buffer[], position: number): Promise<void> {
  let left = [...batch];
  let at = position;
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left, at);
    at += bytesWritten;
    while (left[0] !== undefined && bytesWritten >= left[0].length) {
      bytesWritten -= left[0].length;
      left.shift();
    }
    const [first, ...others] = left;
    if (first !== undefined) left = [first.subarray(bytesWritten), ...others];
  }
}
