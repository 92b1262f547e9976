import { describe, expect, it } from 'vitest';
import { messageLines } from '../../src/server/stdio/message-lines.ts';

function cut(limitBytes: number, chunks: readonly (string | Buffer)[]): string[] {
  const seen: string[] = [];
  const take = messageLines(limitBytes, {
    line: (text) => seen.push(text),
    tooLong: (limit) => seen.push(`over ${limit}`),
  });
  for (const chunk of chunks) take(Buffer.from(chunk));
  return seen;
}

describe('messageLines', () => {
  it('joins chunks and splits lines', () => {
    expect(cut(100, ['a', 'b\nc', '\n', '\r\n', 'd\n\ne'])).toEqual(['ab', 'c', 'd']);
  });

  it('does not cut a character between two chunks', () => {
    const bytes = Buffer.from('héllo😀\n');
    expect(
      cut(
        100,
        [...bytes].map((byte) => Buffer.from([byte])),
      ),
    ).toEqual(['héllo😀']);
  });

  it('drops a line over the limit once, and continues after it', () => {
    expect(cut(4, ['1234\n', '12345\n', 'ok\n', '12', '34', '56', '78', '9\nok\n'])).toEqual([
      '1234',
      'over 4',
      'ok',
      'over 4',
      'ok',
    ]);
  });
});
