/** Bytes that arrive in pieces, kept in one buffer whose size doubles: appending takes linear time in all. */
export class GrowingBuffer {
  #buffer = Buffer.alloc(1_024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was appended so far. Valid until the next `append`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  append(bytes: Buffer): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(needed, 2 * this.#buffer.length));
      this.bytes.copy(larger);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.#length);
    this.#length = needed;
  }
}
