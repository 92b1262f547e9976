import { z } from 'zod';

/**
 * Removes `null` for optional arguments: strict function calling sends `null` for each optional argument that
 * a model does not use.
 */
export function withoutNulls(value: unknown, schema: unknown): unknown {
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodArray && Array.isArray(value)) {
    return value.map((item) => withoutNulls(item, inner.element));
  }
  if (
    !(inner instanceof z.ZodObject) ||
    typeof value !== 'object' ||
    value === null ||
    Array.isArray(value)
  ) {
    return value;
  }
  const fields = new Map<string, unknown>(Object.entries(inner.shape));
  const kept = Object.entries(value)
    .filter(([name, field]) => field !== null || !isOptional(fields.get(name)))
    .map(([name, field]) => [name, withoutNulls(field, fields.get(name))]);
  return Object.fromEntries(kept);
}

function unwrapped(schema: unknown): unknown {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault
    ? unwrapped(schema.unwrap())
    : schema;
}

function isOptional(schema: unknown): boolean {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault;
}
