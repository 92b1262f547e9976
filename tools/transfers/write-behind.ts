/** Work on files of this machine that goes on while the next bytes arrive, in bounds. */
/** So much of one file is written at once. */
const BATCH_BYTES = 1_048_576;
/** What pieces are compared with; a longer piece counts as data. */
const ZEROS = Buffer.alloc(BATCH_BYTES);

/** Tasks that run beside each other, at most so many. The first failure is told by whatever is called next. */
export class Background {
  readonly #most: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | null = null;

  constructor(most: number) {
    this.#most = most;
  }

  /** Starts the task once there is room. Rejects with what an earlier one has failed with. */
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

  /** Resolves when nothing runs any more. Never rejects. */
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

/** What is needed of an open file. */
export interface Sink {
  writev(buffers: readonly Buffer[], position: number): Promise<{ bytesWritten: number }>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Bytes on their way into one file: the next batch is gathered while the one before is written. A batch of zeros becomes a
 * hole, as it was one where it comes from: what takes no room in a sandbox must not fill the disk here.
 */
export class FileWriter {
  readonly #open: () => Promise<Sink>;
  readonly #writing = new Background(1);
  #file: Sink | null = null;
  #batch: Buffer[] = [];
  #size = 0;
  /** Where the next batch goes. */
  #position = 0;
  #endsInHole = false;

  constructor(open: () => Promise<Sink>) {
    this.#open = open;
  }

  /** Whether all that was added fits one batch, so that nothing has been done yet. */
  get idle(): boolean {
    return this.#file === null;
  }

  /** Waits where two batches are on their way. Rejects with what a write has failed with. */
  async add(bytes: Buffer): Promise<void> {
    this.#batch.push(bytes);
    this.#size += bytes.length;
    if (this.#size >= BATCH_BYTES) await this.#flush();
  }

  /** Writes what is left and closes. Rejects with the first failure; the file is closed then, too. */
  async finish(): Promise<void> {
    try {
      await this.#flush();
      await this.#writing.done();
      if (this.#endsInHole) await this.#file?.truncate(this.#position);
    } finally {
      await this.close();
    }
  }

  /** Closes without writing what is left. */
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

/** A write may take less than it was given. */
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
