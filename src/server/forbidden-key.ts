import type { z } from 'zod';

/** Parsed JSON can hold it as a key of its own, and assigning it elsewhere would change what an object inherits. */
const FORBIDDEN = '__proto__';
/** Deeper than the arguments of any tool go: a schema refuses what lies below. */
const MAX_DEPTH = 16;

/** The problem of an object in a JSON value that has `__proto__` as a key of its own; null where none has. */
export function forbiddenKeyIssue(
  value: unknown,
  path: readonly PropertyKey[] = [],
): z.core.$ZodIssue | null {
  if (typeof value !== 'object' || value === null || path.length > MAX_DEPTH) return null;
  if (Object.hasOwn(value, FORBIDDEN)) {
    return { code: 'unrecognized_keys', keys: [FORBIDDEN], path: [...path], message: 'unknown key' };
  }
  for (const [key, child] of Object.entries(value)) {
    const issue = forbiddenKeyIssue(child, [...path, Array.isArray(value) ? Number(key) : key]);
    if (issue !== null) return issue;
  }
  return null;
}
