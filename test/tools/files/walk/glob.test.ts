import { describe, expect, it } from 'vitest';
import { isIgnored, parseIgnoreFile } from '../../../../src/shared/text/ignore-rules.ts';
import { parsePathCursor, pathCursor } from '../../../../tools/common/path-cursor.ts';
import { pathFilter } from '../../../../tools/files/walk/path-filter.ts';

const wants = (glob: string, path: string) => pathFilter(glob, 'pattern', '/r')(path.split('/'));

describe('a path filter', () => {
  it.each([
    ['*.ts', 'a.ts', true],
    ['*.ts', 'src/deep/a.ts', true],
    ['*.ts', 'a.tsx', false],
    ['src/*.ts', 'src/a.ts', true],
    ['src/*.ts', 'src/deep/a.ts', false],
    ['src/**/*.ts', 'src/a.ts', true],
    ['src/**/*.ts', 'src/deep/er/a.ts', true],
    ['src/**', 'src/deep/a', true],
    ['src/**', 'src', false],
    ['**/test/*.{js,ts}', 'a/test/b.ts', true],
    ['**/test/*.{js,ts}', 'test/b.js', true],
    ['**/test/*.{js,ts}', 'test/b.md', false],
    ['./src/a', 'src/a', true],
    ['/a', 'a', true],
    ['src/', 'src/deep/a', true],
    ['src/', 'src', false],
    ['src/', 'x/src/a', false],
    ['/r/a', 'a', true],
    ['/r/a', 'r/a', false],
    ['{/r/a,b}', 'x/a', false],
    ['{/r/a,b}', 'x/b', true],
    ['[a-c]?[!0-9]', 'bxy', true],
    ['[a-c]?[!0-9]', 'bx1', false],
    ['[]]x', ']x', true],
    ['a[', 'a[', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['**', 'any/thing', true],
    ['*', '.hidden', true],
  ])('%s on %s: %s', (glob, path, expected) => {
    expect(wants(glob, path)).toBe(expected);
  });

  it('takes no longer than the product of both lengths', () => {
    const glob = `${'*a'.repeat(100)}b`;
    const begun = performance.now();
    for (let round = 0; round < 100; round++) expect(wants(glob, 'a'.repeat(250))).toBe(false);
    expect(wants(`${'**/a/'.repeat(80)}b`, Array(1_000).fill('a').join('/'))).toBe(false);
    // Backtracking would take longer than the universe has existed.
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  it('refuses what is too long or has too many alternatives', () => {
    expect(() => pathFilter('', 'glob', '/')).toThrow('`glob` must have 1 to 500 characters');
    expect(() => pathFilter('{a,b}'.repeat(7), 'glob', '/')).toThrow('more than 64 alternatives');
  });
});

describe('rules of a .gitignore', () => {
  const rules = parseIgnoreFile(
    [
      '# comment',
      '',
      '*.log',
      '!keep.log',
      '/top',
      'build/',
      'doc/*.txt',
      '\\#hash',
      'space\\ ',
      'x  ',
      'a/**/z\r',
    ].join('\n'),
  );
  const ignored = (path: string) =>
    isIgnored([{ rules, depth: 0 }], path.split('/').filter(Boolean), path.endsWith('/'));

  it.each([
    ['deep/a.log', true],
    ['keep.log', false],
    ['top', true],
    ['deep/top', false],
    ['build/', true],
    ['build', false],
    ['doc/a.txt', true],
    ['deep/doc/a.txt', false],
    ['#hash', true],
    ['# comment', false],
    ['space ', true],
    ['x', true],
    ['a/b/c/z', true],
    ['a/z', true],
    ['z', false],
  ])('%s: %s', (path, expected) => {
    expect(ignored(path)).toBe(expected);
  });

  it('begin after a byte order mark', () => {
    const marked = parseIgnoreFile(Buffer.from('\ufeff*.log\n').toString('latin1'));
    expect(isIgnored([{ rules: marked, depth: 0 }], ['a.log'], false)).toBe(true);
  });

  it('lets a deeper file decide first', () => {
    const scopes = [
      { rules: parseIgnoreFile('*.log'), depth: 0 },
      { rules: parseIgnoreFile('!*.log\n/only'), depth: 1 },
    ];
    expect(isIgnored(scopes, ['sub', 'a.log'], false)).toBe(false);
    expect(isIgnored(scopes, ['sub', 'only'], false)).toBe(true);
    expect(isIgnored(scopes, ['sub', 'x', 'only'], false)).toBe(false);
  });

  it('ignores patterns that nobody writes', () => {
    expect(parseIgnoreFile(`${'*a'.repeat(1_000)}\n/\n!\n`)).toEqual([]);
  });
});

describe('a cursor of a walk', () => {
  const call = ['sandbox_list_files', 'sbx_1', '/a', null] as const;

  it('survives a round trip with any bytes', () => {
    const position = { parts: ['a b', '\xff\n'], line: 1_000_000 };
    expect(parsePathCursor(pathCursor(position, call), call)).toEqual(position);
    expect(parsePathCursor(undefined, call)).toEqual({ parts: [], line: 0 });
  });

  it('holds the longest path of a workspace', () => {
    const position = { parts: [...Array(31).fill('x'.repeat(255)), 'x'.repeat(255)], line: 0 };
    expect(position.parts.join('/')).toHaveLength(8_191);
    expect(parsePathCursor(pathCursor(position, call), call)).toEqual(position);
  });

  it.each([
    '',
    'at.5',
    'p.0.abcdef.',
    'p.0.YQ',
    'p.0.abcdef.Li4vYQ',
    'p.0.abcdef.L2E',
    'p.0.abcdef.YQBi',
    `p.0.abcdef.${'a'.repeat(11_000)}`,
  ])('refuses %s', (cursor) => {
    expect(() => parsePathCursor(cursor, call)).toThrow('is not valid');
  });

  it.each([
    [['sandbox_search_files', 'sbx_1', '/a', null]],
    [['sandbox_list_files', 'sbx_2', '/a', null]],
    [['sandbox_list_files', 'sbx_1', '/b', null]],
    [['sandbox_list_files', 'sbx_1', '/a', '*.ts']],
  ] as const)('is refused by %j', (other) => {
    const cursor = pathCursor({ parts: ['a'], line: 0 }, call);
    expect(() => parsePathCursor(cursor, other)).toThrow('is of a call with other arguments');
  });
});
