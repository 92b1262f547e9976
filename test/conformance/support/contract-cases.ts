import { describe, it, type TestContext } from 'vitest';
import { type Group, SAMPLES } from '../sample.ts';
import type { Extent } from './subject.ts';

/** Registers a case of the contract, like `it`; in a sample, only one that the sample names. */
export interface RegisterCase {
  (name: string, body: (context: TestContext) => unknown): void;
  /** A case with a table; a sample has its first row. */
  for<Row>(rows: readonly Row[]): (name: string, body: (row: Row, context: TestContext) => unknown) => void;
}

/** Registers a group of cases. Throws if the sample names a case that the group does not have. */
export function describeCases(group: Group, extent: Extent, register: (it: RegisterCase) => void): void {
  const sampled = extent === 'whole' ? [] : SAMPLES[extent][group];
  const known = new Set<string>();
  const runs = (name: string): boolean => {
    known.add(name);
    return extent === 'whole' || sampled.includes(name);
  };
  const one = (name: string, body: (context: TestContext) => unknown): void => {
    if (!runs(name)) return;
    it(name, async (context) => {
      await body(context);
    });
  };
  const table: RegisterCase['for'] = (rows) => (name, body) => {
    if (!runs(name)) return;
    it.for(extent === 'whole' ? rows : rows.slice(0, 1))(name, async (row, context) => {
      await body(row, context);
    });
  };
  const registerAll = (): void => {
    register(Object.assign(one, { for: table }));
    const unknown = sampled.filter((name) => !known.has(name));
    if (unknown.length > 0)
      throw new Error(`the sample names cases that do not exist: ${unknown.join('; ')}`);
  };
  // A group without tests is an error of the runner.
  if (extent !== 'whole' && sampled.length === 0) return;
  describe(group, registerAll);
}
