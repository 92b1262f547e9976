import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { argumentError } from '../../src/server/argument-errors.ts';
import { forbiddenKeyIssue } from '../../src/server/forbidden-key.ts';

const input = z.strictObject({
  cmd: z.string(),
  wait_ms: z.int().min(0).max(55_000).optional(),
  encoding: z.enum(['utf8', 'base64']).default('utf8'),
  files: z
    .array(z.strictObject({ path: z.string(), mode: z.string().regex(/^7+$/, 'an octal string').optional() }))
    .min(1)
    .optional(),
  since: z.union([z.int(), z.string()]).optional(),
  source: z.strictObject({ url: z.string().optional(), password: z.string().optional() }).optional(),
  env: z.record(z.string(), z.string()).optional(),
});

function messageFor(args: unknown): string {
  const checked = input.safeParse(args);
  if (checked.success) throw new Error('the arguments are valid');
  return argumentError({ name: 'run', input }, args, checked.error).message;
}

describe('argumentError', () => {
  it.each<[string, unknown, string]>([
    ['a missing argument', {}, '`cmd` is required: a string.'],
    ['a wrong type', { cmd: 5 }, '`cmd` must be a string, not 5.'],
    ['a list instead of an object', [], '`arguments` must be an object, not a list of 0.'],
    ['a fraction', { cmd: 'a', wait_ms: 1.5 }, '`wait_ms` must be a whole number, not 1.5.'],
    ['too much', { cmd: 'a', wait_ms: 60_000 }, '`wait_ms` must be at most 55000, not 60000.'],
    [
      'a value outside a list',
      { cmd: 'a', encoding: 'hex' },
      '`encoding` must be one of "utf8", "base64", not "hex".',
    ],
    [
      'an empty list',
      { cmd: 'a', files: [] },
      '`files` must be a list of at least 1 entries, not a list of 0.',
    ],
    [
      'a value deep inside',
      { cmd: 'a', files: [{ path: 'x', mode: '9' }] },
      '`files[0].mode` must be an octal string, not "9".',
    ],
    ['a union', { cmd: 'a', since: true }, '`since` must be a number or a string, not true.'],
  ])('%s', (_name, args, message) => {
    expect(messageFor(args)).toBe(message);
  });

  it('names the valid keys where the unknown one is', () => {
    expect(messageFor({ cmd: 'a', timeout: 1 })).toContain(
      'Unknown argument "timeout"; valid ones: cmd, wait_ms,',
    );
    expect(messageFor({ cmd: 'a', files: [{ path: 'x', name: 'y' }] })).toBe(
      'Unknown argument "name" in `files[0]`; valid ones: path, mode.',
    );
  });

  it.each([
    ['{"__proto__":{"cmd":"b"},"cmd":"a"}', 'Unknown argument "__proto__"; valid ones: cmd, wait_ms,'],
    [
      '{"cmd":"a","files":[{"path":"x"},{"path":"y","__proto__":1}]}',
      'Unknown argument "__proto__" in `files[1]`; valid ones: path, mode.',
    ],
    ['{"cmd":"a","env":{"__proto__":"b"}}', 'Unknown argument "__proto__" in `env`.'],
  ])('rejects a key that would change the prototype of an object: %s', (json, message) => {
    const args: unknown = JSON.parse(json);
    const issue = forbiddenKeyIssue(args);
    if (issue === null) throw new Error('the key was passed over');
    expect(argumentError({ name: 'run', input }, args, new z.ZodError([issue])).message).toContain(message);
  });

  it('searches no deeper than arguments nest', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(forbiddenKeyIssue(JSON.parse(deep))).toBeNull();
    expect(forbiddenKeyIssue({ cmd: 'a', files: [{ path: 'x' }] })).toBeNull();
  });

  it('never repeats a possible secret', () => {
    expect(messageFor({ cmd: 'a', source: { password: 12_345 } })).toBe(
      '`source.password` must be a string.',
    );
    expect(messageFor({ cmd: 'a', env: { TOKEN: 12_345 } })).toBe('`env.TOKEN` must be a string.');
  });

  it('stays short however long the input is', () => {
    const keys = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, 1]));
    expect(
      messageFor({ ...keys, cmd: ['x'.repeat(100_000)], encoding: 'x'.repeat(100_000) }).length,
    ).toBeLessThan(1_500);
  });

  it('lists every tool argument in the details', () => {
    const checked = input.safeParse({});
    if (checked.success) throw new Error('the arguments are valid');
    expect(argumentError({ name: 'run', input }, {}, checked.error)).toMatchObject({
      code: 'invalid_argument',
      details: { tool: 'run', valid_arguments: Object.keys(input.shape) },
    });
  });
});
