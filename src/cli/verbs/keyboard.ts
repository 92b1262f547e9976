import { spawnSync } from 'node:child_process';
import type { ReadStream, WriteStream } from 'node:tty';

/** Input events of a terminal. */
export interface KeyboardEvents {
  typed(data: Buffer): void;
  resized(cols: number, rows: number): void;
  /** The terminal was closed. */
  ended(): void;
}

/** For a terminal that reports a size of 0, such as a serial line or a pty opened by a program. */
const UNKNOWN = { cols: 80, rows: 24 };

/** Keyboard input and window size of the terminal in which a verb runs. */
export interface Keyboard {
  /** In character cells. */
  size(): { cols: number; rows: number };
  /** Passes on every key unchanged until the returned function is called: even ctrl-c has no effect here. */
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
 * Node's raw mode still adds a carriage return to each line feed, which breaks full-screen programs: they
 * expect a line feed to move down only. Leaving raw mode restores this, too. Without `stty` the terminal
 * stays in Node's mode.
 */
function keepLineFeeds(): void {
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
}
