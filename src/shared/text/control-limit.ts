/** No row has more cells. */
const MAX_COUNT = 500;
/** A sequence longer than any terminal's is dropped. */
const MAX_LENGTH = 256;
const CSI = '\u001b[';
/** Controls that act inside a sequence without ending it, and so can hide in one. */
const WITHIN = '[\\u0000-\\u0017\\u0019\\u001c-\\u001f\\u007f]';
/** The start of a control sequence (ECMA-48 5.4), in its 7-bit or 8-bit form. */
const BEGINNING = new RegExp(`\\u001b${WITHIN}*\\[|\\u009b`);
/** A possible start of one. */
const UNFINISHED = new RegExp(`\\u001b${WITHIN}*$`);
/** Parameters and intermediates, then the final byte. */
const BODY = new RegExp(`^(?:[ -?]|${WITHIN})*`);
const CONTROLS = new RegExp(WITHIN, 'g');
/** Insert, delete, scroll up, scroll down. */
const MOVES_LINES = ['L', 'M', 'S', 'T'];

/**
 * Limits the counts in control sequences. An emulator repeats an operation as often as requested: "insert
 * 4,294,967,295 lines" would block this process for hours. Private modes are identifiers, not counts, and are
 * kept.
 */
export class ControlLimit {
  /** The beginning of a sequence that the next chunk completes. */
  #pending = '';

  /** `rows` is the height of the screen: moving lines by more than that moves them off it. */
  pass(chunk: string, rows: number): string {
    let rest = this.#pending + chunk;
    this.#pending = '';
    let passed = '';
    for (;;) {
      const match = BEGINNING.exec(rest);
      if (match === null) break;
      passed += rest.slice(0, match.index);
      const after = rest.slice(match.index + match[0].length);
      const body = BODY.exec(after)?.[0] ?? '';
      if (body.length === after.length && body.length <= MAX_LENGTH) {
        this.#pending = match[0] + body;
        return passed;
      }
      const most = MOVES_LINES.includes(after.charAt(body.length)) ? rows : MAX_COUNT;
      passed += body.length > MAX_LENGTH ? '' : CSI + bounded(body.replace(CONTROLS, ''), most);
      rest = after.slice(body.length);
    }
    const unfinished = UNFINISHED.exec(rest)?.[0] ?? '';
    if (unfinished.length <= MAX_LENGTH) this.#pending = unfinished;
    return passed + rest.slice(0, rest.length - unfinished.length);
  }
}

function bounded(body: string, most: number): string {
  if (/^[<-?]/.test(body)) return body;
  return body.replace(/[0-9]+/g, (digits) => String(Math.min(most, Number(digits))));
}
