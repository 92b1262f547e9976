import type { z } from 'zod';

/**
 * Parsed JSON can have it as an own key, and assigning it to another object would change that object's
 * prototype.
 */
const FORBIDDEN = '__proto__';
/** Deeper than the arguments of any tool: schemas reject anything below. */
const MAX_DEPTH = 16;

/** The problem of an object in a JSON value that has `__proto__` as an own key; null if there is none. */
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
