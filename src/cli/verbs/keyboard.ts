import { spawnSync } from 'node:child_process';
import type { ReadStream, WriteStream } from 'node:tty';

/** What a person does at a terminal. */
export interface KeyboardEvents {
  typed(data: Buffer): void;
  resized(cols: number, rows: number): void;
  /** The terminal is gone. */
  ended(): void;
}

/** For a terminal that does not know its size and says 0, as on serial lines and where a program opened it. */
const UNKNOWN = { cols: 80, rows: 24 };

/** The keys of the terminal that a verb was typed in, and the size of its window. */
export interface Keyboard {
  /** In character cells. */
  size(): { cols: number; rows: number };
  /** Hands over every key as it is, until the answered function is called: not even ctrl-c means anything here. */
  listen(events: KeyboardEvents): () => void;
}

/** Null unless both streams are terminals. */
export function openKeyboard(input: ReadStream, output: WriteStream): Keyboard | null {
  if (!input.isTTY || !output.isTTY) return null;
  const size = () => ({ cols: output.columns || UNKNOWN.cols, rows: output.rows || UNKNOWN.rows });
  return {
    size,
    listen(events) {
      const resized = (): void => events.resized(size().cols, size().rows);
      input.setRawMode(true);
      keepLineFeeds();
      input.on('data', events.typed);
      input.once('end', events.ended);
      output.on('resize', resized);
      input.resume();
      return () => {
        input.pause();
        input.off('data', events.typed);
        input.off('end', events.ended);
        output.off('resize', resized);
        input.setRawMode(false);
      };
    },
  };
}

/**
 * Node's raw mode still makes a carriage return of each line feed, which tears full-screen programs apart: to them a line
 * feed goes down, not to the left. Leaving raw mode restores this, too. Without `stty` the screen is as Node has it.
 */
function keepLineFeeds(): void {
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
}
