/** The progress of a pull: a bar on a terminal, lines elsewhere. */
import type { PullState } from '../../engines/engine.ts';
import type { Terminal } from '../output/terminal.ts';

const BAR_WIDTH = 30;
const MEGABYTE = 1_048_576;
/** Smooth enough for a reader. */
const INTERVAL_MS = 100;
/** Redraws the current line. */
const LINE_START = '\r\x1b[K';

function bar({ bytes, totalBytes }: { bytes: number; totalBytes: number }): string {
  const filled =
    totalBytes === 0 ? BAR_WIDTH : Math.round((BAR_WIDTH * Math.min(bytes, totalBytes)) / totalBytes);
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]`;
}

function describe(state: PullState): string {
  if (state.kind === 'resolve') return 'Looking up the image';
  if (state.kind === 'unpack') return 'Unpacking';
  const { bytes, totalBytes, layersDone, layers } = state;
  const megabytes = (count: number) => (count / MEGABYTE).toFixed(1);
  return `${bar(state)} ${megabytes(bytes)} of ${megabytes(totalBytes)} MB, ${layersDone} of ${layers} layers`;
}

export interface ProgressDisplay {
  show(state: PullState): void;
  /** Clears the bar. */
  close(): void;
}

/** @param now milliseconds of a monotonic clock */
export function openProgressDisplay(terminal: Terminal, now: () => number): ProgressDisplay {
  let shown: PullState['kind'] | null = null;
  let shownAt = Number.NEGATIVE_INFINITY;
  return {
    show(state) {
      const isNew = state.kind !== shown;
      if (terminal.isScreen) {
        if (!isNew && now() - shownAt < INTERVAL_MS) return;
        shownAt = now();
        terminal.out(`${LINE_START}${describe(state)}`);
      } else if (isNew) {
        // If the output is not a terminal, one line per phase is enough.
        const size =
          state.kind === 'download' ? `Downloading ${(state.totalBytes / MEGABYTE).toFixed(1)} MB` : null;
        terminal.err(`${size ?? describe(state)}\n`);
      }
      shown = state.kind;
    },
    close() {
      if (terminal.isScreen && shown !== null) terminal.out(LINE_START);
      shown = null;
    },
  };
}
