import { describe, expect, it } from 'vitest';
import { keySequences } from '../../../tools/shells/shell-keys.ts';

describe('keys', () => {
  it.each([
    ['enter', '\r'],
    ['tab', '\t'],
    ['shift-tab', '\x1b[Z'],
    ['esc', '\x1b'],
    ['backspace', '\x7f'],
    ['delete', '\x1b[3~'],
    ['pgup', '\x1b[5~'],
    ['f1', '\x1bOP'],
    ['f12', '\x1b[24~'],
    ['ctrl-a', '\x01'],
    ['ctrl-z', '\x1a'],
    ['ctrl-space', '\0'],
    ['ctrl-_', '\x1f'],
    ['alt-b', '\x1bb'],
    ['alt-B', '\x1bB'],
    ['ctrl-left', '\x1b[1;5D'],
    ['shift-up', '\x1b[1;2A'],
    // The forms that people and models write.
    ['Ctrl+C', '\x03'],
    ['ESCAPE', '\x1b'],
    ['PageDown', '\x1b[6~'],
    ['Return', '\r'],
  ])('%s', (name, sequence) => {
    expect(keySequences([name], false)).toBe(sequence);
    expect(keySequences([name], true)).toBe(sequence);
  });

  it("have two forms, depending on the program's mode", () => {
    const names = ['up', 'down', 'right', 'left', 'home', 'end'];
    expect(keySequences(names, false)).toBe('\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F');
    expect(keySequences(names, true)).toBe('\x1bOA\x1bOB\x1bOC\x1bOD\x1bOH\x1bOF');
  });

  it.each(['', 'a', 'hyper-x', 'ctrl-1', 'f13', 'toString', 'ctrl-toString', 'alt-', '__proto__'])(
    'rejects %j',
    (name) => {
      expect(() => keySequences([name], false)).toThrow(
        expect.objectContaining({ code: 'invalid_argument' }),
      );
    },
  );
});
