import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findText } from '../../../../tools/files/edit/find-text.ts';
import { nearestText } from '../../../../tools/files/edit/nearest-text.ts';
import {
  type Edited,
  lengthAfter,
  occurrences,
  replaceAt,
} from '../../../../tools/files/edit/replace-text.ts';
import { unifiedDiff } from '../../../../tools/files/edit/unified-diff.ts';
import { generator, SEED } from '../../../support/seed.ts';

const folder = mkdtempSync(join(tmpdir(), 'edit-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function edit(original: string, ...edits: [oldText: string, newText: string][]): Edited {
  return edits.reduce<Edited>(
    (edited, [oldText, newText]) => replaceAt(edited, findText(edited.content, oldText, newText, 1_000)),
    { content: Buffer.from(original), changes: [] },
  );
}

function diff(original: string, ...edits: [string, string][]): string {
  return unifiedDiff('/f', Buffer.from(original), edit(original, ...edits), 100_000);
}

const lines = (count: number): string =>
  Array.from({ length: count }, (_, at) => `line ${at + 1}\n`).join('');

describe('occurrences', () => {
  it.each([
    ['abcabc', 'abc', [0, 3]],
    ['aaaaa', 'aa', [0, 2]],
    ['abababac', 'ababac', [2]],
    ['xx', 'xxx', []],
    ['', 'x', []],
  ])('finds in %j every %j that does not overlap the one before', (content, needle, found) => {
    expect(occurrences(Buffer.from(content), Buffer.from(needle))).toEqual(found);
  });

  it('takes no more than linear time for repetitive text', () => {
    // It would take 10^10 comparisons to compare each position with the whole text.
    const content = Buffer.alloc(4_000_000, 'a');
    const needle = Buffer.concat([Buffer.from('b'), Buffer.alloc(100_000, 'a')]);
    expect(occurrences(content, needle)).toEqual([]);
    expect(occurrences(content, Buffer.concat([Buffer.alloc(100_000, 'a'), Buffer.from('b')]))).toEqual([]);
  });
});

describe('an edit of a file with CR LF', () => {
  const edited = (...args: Parameters<typeof edit>) => edit(...args).content.toString();

  it.each([
    ['where the text spans lines of either kind', 'a\r\nb\nc\n', 'a\nb', 'x\ny', 'x\r\ny\nc\n'],
    ['at lines that end in LF', 'a\r\nb\nc\n', 'b\nc', 'x\ny\nz', 'a\r\nx\ny\nz\n'],
    ['at each place', 'k\r\n1\nk\n2\r\nk', 'k', 'k\n-', 'k\r\n-\r\n1\nk\n-\n2\r\nk\r\n-'],
    ['at the line end alone', 'a\r\nb\n', '\n', '\n\n', 'a\r\n\r\nb\n\n'],
    ['unless the new text has CR LF', 'a\nb\r\n', 'a\n', 'x\r\n', 'x\r\nb\r\n'],
    ['unless the old text has CR LF', 'a\r\nb\na\nb\n', 'a\r\nb', 'x\ny', 'x\ny\na\nb\n'],
    ['and leaves a CR alone', 'a\rb\r\r\nc', 'b\r\n', 'x', 'a\rb\r\r\nc'],
  ])('has the line ends that were there, %s', (_, original, oldText, newText, expected) => {
    expect(edited(original, [oldText, newText])).toBe(expected);
  });

  it('finds each place once, also next to each other', () => {
    expect(edited('ab\r\nab\r\nab\r\n', ['ab\n', '1\n'])).toBe('1\r\n1\r\n1\r\n');
  });

  it('takes linear time, and no memory for what would be too long', () => {
    const content = Buffer.from(`x\r\n${'a'.repeat(200_000)}`);
    const found = findText(content, 'a', `\n${'b'.repeat(500_000)}`, 100_000);
    expect(found.length).toBe(100_000);
    expect(lengthAfter(content, found)).toBe(3 + 100_000 + 100_000 * 500_002);
  });
});

describe('a diff', () => {
  it('shows the lines that have changed, with three lines of context', () => {
    expect(diff(lines(9), ['line 5', 'LINE 5'])).toBe(
      [
        '--- a/f',
        '+++ b/f',
        '@@ -2,7 +2,7 @@',
        ...[' line 2', ' line 3', ' line 4', '-line 5', '+LINE 5', ' line 6', ' line 7', ' line 8'],
        '',
      ].join('\n'),
    );
  });

  it('leaves out what an edit repeats unchanged', () => {
    expect(diff(lines(3), ['line 1\nline 2\nline 3', 'line 1\nnew\nline 3'])).toContain(
      ' line 1\n-line 2\n+new\n line 3\n',
    );
  });

  it('is empty when nothing has changed', () => {
    expect(diff('a\n', ['a', 'a'])).toBe('');
    expect(diff('a\n', ['a', 'b'], ['b', 'a'])).toBe('');
  });

  it('says when a last line has no line end', () => {
    expect(diff('a\nb', ['b', 'c'])).toContain(
      '-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n',
    );
  });

  it('ends at a whole line, and says how much is left out', () => {
    const original = lines(1_000);
    const text = unifiedDiff('/f', Buffer.from(original), edit(original, ['line', 'word']), 200);
    expect(text.length).toBeLessThan(260);
    expect(text).toMatch(/-line \d+\n… \d+ more lines of this diff$/);
  });

  it('turns the original into the edited text with git apply, for any edits', () => {
    const random = generator(SEED);
    const pick = (limit: number): number => Math.floor(random() * limit);
    const word = (): string => ['a', 'b', '\n', 'ab', 'a\nb', '\n\n', 'bb\n'][pick(7)] ?? '';
    for (let round = 0; round < 20; round++) {
      const original = Array.from({ length: pick(60) }, word).join('');
      const edits = Array.from({ length: 1 + pick(4) }, (): [string, string] => [
        `${word()}${word()}`,
        Array.from({ length: pick(4) }, word).join(''),
      ]);
      const edited = edit(original, ...edits);
      const text = unifiedDiff('/f', Buffer.from(original), edited, 100_000);
      expect(patched(original, text), JSON.stringify({ original, edits, text })).toBe(
        edited.content.toString(),
      );
    }
  });
});

function patched(original: string, patch: string): string {
  const file = join(folder, 'file');
  writeFileSync(file, original);
  if (patch === '') return original;
  execFileSync('git', ['apply', '--unidiff-zero', '-p1', '-'], {
    cwd: folder,
    input: patch.replaceAll('a/f\n', 'a/file\n').replaceAll('b/f\n', 'b/file\n'),
    env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() },
  });
  return readFileSync(file, 'utf8');
}

describe('the nearest text', () => {
  const source = 'function first() {\n  return 1;\n}\n\nfunction second() {\n\treturn 2;\n}\n';

  it('is the one that differs only in whitespace', () => {
    expect(nearestText(source, 'function second() {\n  return 2;\n}')).toEqual({
      line: 5,
      text: 'function second() {\n\treturn 2;\n}',
      blanksOnly: true,
    });
  });

  it('is the place with the most lines in common', () => {
    expect(nearestText(source, 'function second() {\n  return 3;\n}')).toMatchObject({
      line: 5,
      blanksOnly: false,
    });
  });

  it('is the line with the most words in common if no line is equal', () => {
    expect(nearestText(source, 'first(): number')).toMatchObject({ line: 1 });
  });

  it('is absent if nothing is similar', () => {
    expect(nearestText(source, 'xyz abc def')).toBeNull();
  });
});
