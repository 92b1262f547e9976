import { describe, expect, it } from 'vitest';
import { excluder } from '../../../tools/transfers/exclude.ts';

describe('excluder', () => {
  it.each([
    ['node_modules', 'node_modules', true],
    ['node_modules', 'packages/a/node_modules', true],
    ['node_modules/', 'node_modules', true],
    ['*.log', 'a/b/.hidden.log', true],
    ['*.log', 'a/b/log.txt', false],
    ['/dist', 'dist', true],
    ['/dist', 'packages/dist', false],
    ['./dist', 'dist', true],
    ['dist/**', 'dist/a/b', true],
    ['**/*.{png,jpg}', 'a/b.png', true],
    ['a/*', 'a/b', true],
    ['a/*', 'a/b/c', false],
    ['.git', '.github', false],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(excluder([pattern])(path)).toBe(expected);
  });

  it('excludes nothing by default', () => {
    expect(excluder([])('anything')).toBe(false);
  });

  it.each([
    ['an empty one', ['']],
    ['a long one', ['a'.repeat(300)]],
    ['one made to take for ever', ['*a*a*a*a*a*a*a*b']],
    ['too many globstars', ['**/a/**/a/**/a/**/a/**/b']],
    ['a negated one', ['node_modules', '!*.ts']],
    ['a negated one behind a dot', ['./!keep']],
    ['too many', Array.from({ length: 101 }, () => 'a')],
  ])('rejects %s', (_name, patterns) => {
    expect(() => excluder(patterns)).toThrow(/`exclude`/);
  });
});
