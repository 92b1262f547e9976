import { SandboxError } from '../../src/shared/errors.ts';

const ESC = '\u001b';

/** What a terminal of the xterm kind sends for a key (ctlseqs, "PC-Style Function Keys"). */
const PLAIN: Record<string, string> = {
  enter: '\r',
  tab: '\t',
  'shift-tab': `${ESC}[Z`,
  esc: ESC,
  space: ' ',
  backspace: '\u007f',
  delete: `${ESC}[3~`,
  insert: `${ESC}[2~`,
  pgup: `${ESC}[5~`,
  pgdn: `${ESC}[6~`,
  f1: `${ESC}OP`,
  f2: `${ESC}OQ`,
  f3: `${ESC}OR`,
  f4: `${ESC}OS`,
  f5: `${ESC}[15~`,
  f6: `${ESC}[17~`,
  f7: `${ESC}[18~`,
  f8: `${ESC}[19~`,
  f9: `${ESC}[20~`,
  f10: `${ESC}[21~`,
  f11: `${ESC}[23~`,
  f12: `${ESC}[24~`,
  'ctrl-space': '\u0000',
  'ctrl-[': ESC,
  'ctrl-\\': '\u001c',
  'ctrl-]': '\u001d',
  'ctrl-^': '\u001e',
  'ctrl-_': '\u001f',
};
/** The last letter of the sequences of the keys that have two forms (DECCKM of the VT100). */
const CURSOR: Record<string, string> = { up: 'A', down: 'B', right: 'C', left: 'D', home: 'H', end: 'F' };
const MODIFIERS: Record<string, number> = { shift: 2, alt: 3, ctrl: 5 };
const ALIASES = new Map([
  ['return', 'enter'],
  ['escape', 'esc'],
  ['del', 'delete'],
  ['ins', 'insert'],
  ['pageup', 'pgup'],
  ['pagedown', 'pgdn'],
]);

const VALID =
  'enter, tab, shift-tab, esc, space, backspace, delete, insert, up, down, left, right, home, end, pgup, pgdn, ' +
  'f1 to f12, ctrl-a to ctrl-z, ctrl-space, ctrl-[ \\ ] ^ _, alt-x for any x; shift-, alt-, ctrl- before arrows, home, end';

/** Null if there is no key of this name. */
function sequence(name: string, applicationCursor: boolean): string | null {
  const plain = own(PLAIN, name);
  if (plain !== null) return plain;
  const [, modifier = '', key = ''] = /^(?:(shift|alt|ctrl)-)?(.+)$/su.exec(name) ?? [];
  const letter = own(CURSOR, key);
  if (letter !== null && modifier === '') return `${ESC}${applicationCursor ? 'O' : '['}${letter}`;
  if (letter !== null) return `${ESC}[1;${own(MODIFIERS, modifier)}${letter}`;
  if (modifier === 'ctrl' && /^[a-z]$/.test(key)) return String.fromCharCode(key.charCodeAt(0) - 96);
  return modifier === 'alt' && [...key].length === 1 ? `${ESC}${key}` : null;
}

/** Names come from the caller: properties of Object.prototype must not be found. */
function own<Value>(table: Record<string, Value>, name: string): Value | null {
  return Object.hasOwn(table, name) ? (table[name] ?? null) : null;
}

/** `Ctrl+C` for `ctrl-c`; the key of an alt- combination keeps its case, which is part of it. */
function normalized(given: string): string {
  const name = given.replace(/^(\w+)\+/, '$1-');
  if (/^alt-.$/isu.test(name)) return `alt-${name.slice('alt-'.length)}`;
  const lower = name.toLowerCase();
  return ALIASES.get(lower) ?? lower;
}

/**
 * The bytes that a terminal sends for these keys. `applicationCursor`: the program has requested the
 * application form of the arrow keys (DECCKM).
 *
 * @throws `invalid_argument` with the valid names
 */
export function keySequences(names: readonly string[], applicationCursor: boolean): string {
  return names
    .map((name) => {
      const found = sequence(normalized(name.trim()), applicationCursor);
      if (found !== null) return found;
      throw new SandboxError('invalid_argument', `${JSON.stringify(name.slice(0, 40))} is not a key.`, {
        hint: `Call shell_send with keys of these: ${VALID}. Pass letters and words as text.`,
        details: { key: name.slice(0, 40) },
      });
    })
    .join('');
}
