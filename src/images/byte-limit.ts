import { SandboxError } from '../shared/errors.ts';

/** Counts what an archive becomes, all of its parts together, and ends at a limit: archives can hold far more than they weigh. */
export class ByteLimit {
  readonly #max: number;
  #seen = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** @throws `limit_exceeded` */
  add(bytes: number): void {
    this.#seen += bytes;
    if (this.#seen <= this.#max) return;
    throw new SandboxError('limit_exceeded', `Unpacked, the archive takes more than ${this.#max} bytes.`, {
      hint: 'Where that is right, allow more: --max-size BYTES.',
      details: { max_bytes: this.#max },
    });
  }
}
