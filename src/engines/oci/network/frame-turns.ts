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
  readonly #parser = new FrameParser();
  /** Frames that have arrived wait for the next turn. */
  #waiting = false;

  /** @param handle called with every frame, in order */
  constructor(stream: Readable, handle: (frame: Frame) => void) {
    this.#stream = stream;
    this.#handle = handle;
    stream.on('data', (chunk: Buffer) => {
      this.#parser.feed(chunk);
      if (!this.#waiting) this.#take();
    });
  }

  #take(): void {
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
