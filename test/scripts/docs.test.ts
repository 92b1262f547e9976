import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { replaceBetween, table } from '../../scripts/docs/markdown.ts';
import { configurationPage, toolsPage } from '../../scripts/docs/pages.ts';
import { parametersOf } from '../../scripts/docs/parameters.ts';
import { FLAGS } from '../../src/config/flags.ts';
import { TOOLS } from '../../tools/index.ts';

describe('parametersOf', () => {
  it('describes type, default and bounds, and nested fields', () => {
    const schema = z.strictObject({
      name: z.string().describe('what it is called'),
      kind: z.enum(['a', 'b']).optional(),
      limit: z.int().min(1).max(9).default(3),
      files: z.array(z.strictObject({ path: z.string(), mode: z.string().regex(/^0/).optional() })),
      env: z.record(z.string(), z.string()).optional(),
      since: z.union([z.int(), z.string()]).optional(),
      options: z.strictObject({ deep: z.boolean() }).optional(),
    });
    const rows = parametersOf(z.toJSONSchema(schema, { io: 'input' })).map(
      ({ name, type, required, default: value, description }) =>
        [name, type, required ? 'required' : '', value, description].join('|'),
    );
    expect(rows).toEqual([
      'name|string|required||what it is called',
      'kind|`"a"`, `"b"`|||',
      'limit|integer, 1 to 9||`3`|',
      'files|list of object|required||',
      'files[].path|string|required||',
      'files[].mode|string, `^0`|||',
      'env|object of string|||',
      'since|integer or string|||',
      'options|object|||',
      'options.deep|boolean|required||',
    ]);
  });
});

describe('replaceBetween', () => {
  it('replaces the text between the markers, idempotently', () => {
    const text = 'a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n';
    const once = replaceBetween(text, 'x', 'new\n');
    expect(once).toBe('a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb\n');
    expect(replaceBetween(once, 'x', 'new\n')).toBe(once);
  });

  it.each(['', '<!-- x:begin -->', '<!-- x:end --><!-- x:begin -->'])('rejects %j', (text) => {
    expect(() => replaceBetween(text, 'x', '')).toThrow('<!-- x:begin --> and <!-- x:end --> are missing');
  });
});

describe('the pages', () => {
  it('describe every tool and flag once', () => {
    const pages = [toolsPage(TOOLS), configurationPage()];
    for (const { name } of TOOLS) {
      expect(pages[0]?.match(new RegExp(`^## \`${name}\`$`, 'gm'))).toHaveLength(1);
      expect(pages[0]?.match(new RegExp(`^\\| \`${name}\` `, 'gm'))).toHaveLength(1);
    }
    for (const { name } of FLAGS) expect(pages[1]).toMatch(new RegExp(`^\\| \`--${name}[ \`]`, 'm'));
    expect([toolsPage(TOOLS), configurationPage()]).toEqual(pages);
  });

  it('contain well-formed tables', () => {
    expect(table(['a', 'b'], [['x|y', 'two\nlines']])).toBe(
      '| a | b |\n| --- | --- |\n| x\\|y | two lines |\n',
    );
  });
});
