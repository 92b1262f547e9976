import { expect, it } from 'vitest';
import { decodeCursor, encodeCursor } from '../../../tools/commands/log-cursor.ts';

const ID = 'cmd_222222222222_abcdefgh';

it('survives encoding and decoding', () => {
  const cursor = { stdout: 12_345_678_901, stderr: 0, after: 3, seen: 12_345_678_950 };
  expect(decodeCursor(ID, encodeCursor(ID, cursor))).toEqual(cursor);
});

it.each([
  '',
  '0',
  '0.0.0',
  '0.0.0.0',
  '0.0.0.0.other',
  '-1.0.0.0.abcdefgh',
  '0.0.0.0.abcdefgh.x',
  'zzzzzzzzzzz.0.0.0.abcdefgh',
  'x'.repeat(10_000),
])('rejects %j', (text) => {
  expect(() => decodeCursor(ID, text)).toThrow(/`cursor`/);
});
