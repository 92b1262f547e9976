import { describe, expect, it } from 'vitest';
import { linePattern } from '../../../../tools/files/search/line-pattern.ts';

describe('what a line must contain to match', () => {
  it.each([
    ['needle', 'a needle here', 1],
    ['foo\\d+barbaz', 'foo12barbaz', 1],
    ['import .* from', 'import { a } from', 1],
    ['cat|dog', 'hotdog', 2],
    ['(cat|dog)fish+', 'catfishhh', 2],
    ['x(longer)*', 'x', 1],
    ['größe', 'die größe', 1],
    ['\\d+', '7', 0],
    ['(a|)', '', 0],
    ['(?i)foo', 'FOO', 0],
    ['^$', '', 0],
  ])('%s in %j', (pattern, line, most) => {
    const { literals, matches } = linePattern(pattern, false);
    expect(matches(line)).toBe(true);
    expect(literals.length > 0).toBe(most > 0);
    expect(literals.length).toBeLessThanOrEqual(most);
    const bytes = Buffer.from(line).toString('latin1');
    expect(literals.length === 0 || literals.some((literal) => bytes.includes(literal))).toBe(true);
  });

  it('leaves out letters that also match beyond ASCII when case is ignored', () => {
    expect(linePattern('Kelvin', true).literals).toEqual(['elvin']);
    expect(linePattern('ks', true).literals).toEqual([]);
    expect(linePattern('Kelvin', true).matches('\u212Aelvin')).toBe(true);
    expect(linePattern('STREET', true).matches('my street')).toBe(true);
  });

  it('gives up literals that no engine takes', () => {
    const words = Array.from({ length: 20 }, (_, index) => `${String.fromCharCode(97 + index)}${index}x`);
    expect(linePattern(words.join('|'), false).literals).toEqual([]);
    expect(linePattern('a\\x00b', false).literals).toEqual([]);
  });

  it.each(['a\nb', 'a\\nb', 'class A \\{\\n\\s+longer name', '(a\\nb|c\\r\\nd)', '^x$\\n'])(
    'refuses %j, which no line can match',
    (pattern) => {
      for (const ignoreCase of [false, true])
        expect(() => linePattern(pattern, ignoreCase)).toThrow('each line is matched alone');
    },
  );

  it.each(['a\\nb|c', 'a\\s+b', '[^\\n]+x', 'a\\n?b', '(a\\n)*b'])('takes %j', (pattern) => {
    expect(() => linePattern(pattern, false)).not.toThrow();
  });

  it('refuses what RE2 does not have', () => {
    expect(() => linePattern('(a)\\1', false)).toThrow('Invalid `pattern`');
    expect(() => linePattern('(a{1,100}){1,100}', false)).toThrow('pattern');
  });
});
