/** Handles the frames of a stream a few at a time, so that they leave time for everything else. */
import type { Readable } from 'node:stream';
import { type Frame, FrameParser } from '../protocol/frames.ts';

/**
 * Frames handled in one turn of the event loop. What follows waits in the stream, and with it whoever writes to
 * it.
 */
export const FRAMES_PER_TURN = 16;

export class FrameTurns {
  readonly #stream: Readable;
  readonly #handle: (frame: Frame) => void;
  readonly #onError: (error: unknown) => void;
  readonly #parser = new FrameParser();
  /** Frames that have arrived wait for the next turn. */
  #waiting = false;
  #failed = false;

  /**
   * @param handle called with every frame, in order; throws if it cannot be one of the protocol
   * @param onError called once, for the first frame that is malformed or that `handle` throws for; no more
   *   follow
   */
  constructor(stream: Readable, handle: (frame: Frame) => void, onError: (error: unknown) => void) {
    this.#stream = stream;
    this.#handle = handle;
    this.#onError = onError;
    stream.on('data', (chunk: Buffer) => {
      if (this.#failed) return;
      this.#parser.feed(chunk);
      if (!this.#waiting) this.#take();
    });
  }

  /** Never throws: nobody could catch it, and the other side must not end this process. */
  #take(): void {
    try {
      this.#takeSome();
    } catch (error) {
      this.#failed = true;
      this.#stream.resume();
      this.#onError(error);
    }
  }

  #takeSome(): void {
    for (let taken = 0; taken < FRAMES_PER_TURN; taken++) {
      const frame = this.#parser.take();
      if (frame === null) {
        this.#waiting = false;
        this.#stream.resume();
        return;
      }
      this.#handle(frame);
    }
    this.#waiting = true;
    this.#stream.pause();
    setImmediate(() => this.#take());
  }
}
