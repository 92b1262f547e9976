import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { inputSchema, outputSchema } from '../../src/server/input-schema.ts';

describe('inputSchema', () => {
  it('drops what carries no information', () => {
    const schema = z.strictObject({
      count: z.int().min(1).optional(),
      wait: z.int().min(50).max(100).default(60).describe('ms'),
      flag: z.boolean().default(false),
      kind: z.enum(['a', 'b']).default('a'),
      other: z.enum(['a', 'b']).default('b'),
      list: z.array(z.int()).min(1).max(5).optional(),
      names: z.record(z.string(), z.string()),
      either: z.union([z.int(), z.string()]).optional(),
      nested: z.strictObject({ on: z.boolean() }).optional(),
    });
    expect(inputSchema(schema)).toEqual({
      type: 'object',
      properties: {
        count: { type: 'integer' },
        wait: { type: 'integer', default: 60, description: 'ms' },
        flag: { type: 'boolean' },
        kind: { type: 'string', enum: ['a', 'b'] },
        other: { type: 'string', enum: ['a', 'b'], default: 'b' },
        list: { type: 'array', items: { type: 'integer' } },
        names: { type: 'object', additionalProperties: { type: 'string' } },
        either: { type: ['integer', 'string'] },
        nested: { type: 'object', properties: { on: { type: 'boolean' } }, required: ['on'] },
      },
      required: ['names'],
      additionalProperties: false,
    });
  });

  it('keeps an argument whose name is a schema keyword', () => {
    const schema = z.strictObject({ minimum: z.int().min(5), $schema: z.string(), anyOf: z.string() });
    expect(Object.keys(Object(inputSchema(schema)['properties']))).toEqual(['minimum', '$schema', 'anyOf']);
  });
});

describe('outputSchema', () => {
  it('names every field once, possibly null: that all are present is not repeated', () => {
    const schema = z.object({
      id: z.string(),
      end: z.number().nullable(),
      rest: z.record(z.string(), z.unknown()),
    });
    expect(outputSchema(schema)).toEqual({
      type: 'object',
      properties: { id: { type: 'string' }, end: { type: ['number', 'null'] }, rest: { type: 'object' } },
    });
  });
});
