/**
 * Compares bytes as bytes. `toEqual` takes them for iterables and compares one at a time, a second for each
 * hundred kilobytes.
 */
import { expect } from 'vitest';

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined =>
    a instanceof Uint8Array && b instanceof Uint8Array && a.constructor === b.constructor
      ? Buffer.compare(a, b) === 0
      : undefined,
]);
