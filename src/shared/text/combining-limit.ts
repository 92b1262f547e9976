/** Far more than any script puts on one letter. */
const MAX_RUN = 16;
/**
 * Characters that terminals draw in the previous cell (marks, format characters, Hangul vowels and finals).
 */
const NO_CELL = '[\\p{M}\\p{Cf}\\u06de\\u1160-\\u11ff]';
const LONG_RUN = new RegExp(`(${NO_CELL}{${MAX_RUN}})${NO_CELL}+`, 'gu');
const RUN_AT_START = new RegExp(`^${NO_CELL}+`, 'u');
const RUN_AT_END = new RegExp(`${NO_CELL}+$`, 'u');

/**
 * Truncates runs of characters that share one cell, across chunk boundaries: otherwise a cell could take any
 * number of them, and with them any amount of memory.
 */
export class CombiningLimit {
  /** Length of the run at the end of the text so far. */
  #run = 0;

  pass(text: string): string {
    const atStart = RUN_AT_START.exec(text)?.[0] ?? '';
    const room = MAX_RUN - Math.min(MAX_RUN, this.#run);
    const kept = [...atStart].slice(0, room).join('') + text.slice(atStart.length).replace(LONG_RUN, '$1');
    const atEnd = RUN_AT_END.exec(kept)?.[0] ?? '';
    const count = Math.min(MAX_RUN, [...atEnd].length);
    // Only combining characters continue the previous run.
    this.#run = atStart.length === text.length ? Math.min(MAX_RUN, this.#run + [...atStart].length) : count;
    return kept;
  }
}
