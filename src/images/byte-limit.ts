import { SandboxError } from '../shared/errors.ts';

/** Limits the total unpacked size of an archive, because a small one can expand enormously. */
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
    throw new SandboxError('limit_exceeded', `The unpacked archive is larger than ${this.#max} bytes.`, {
      hint: 'If this is intended, raise the limit with --max-size BYTES.',
      details: { max_bytes: this.#max },
    });
  }
}
