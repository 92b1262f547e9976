const INTERVAL_MS = 250;
const MIB = 1_048_576;

/** Reports how far an upload is, a few times a second. */
export class UploadProgress {
  readonly #total: { entries: number; bytes: number };
  readonly #report: ((line: string) => void) | undefined;
  #entries = 0;
  #bytes = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(total: { entries: number; bytes: number }, report: ((line: string) => void) | undefined) {
    this.#total = total;
    this.#report = report;
    this.#show();
  }

  addEntry(): void {
    this.#entries += 1;
    this.#show();
  }

  addBytes(bytes: number): void {
    this.#bytes += bytes;
    this.#show();
  }

  #show(): void {
    const now = performance.now();
    if (this.#report === undefined || now - this.#reportedAt < INTERVAL_MS) return;
    this.#reportedAt = now;
    const { entries, bytes } = this.#total;
    this.#report(
      `Uploading the workspace: ${this.#entries} of ${entries} entries, ${mib(this.#bytes)} of ${mib(bytes)} MiB`,
    );
  }
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
