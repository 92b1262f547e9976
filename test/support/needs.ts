/** Skipping with a reason, which the summary at the end of a run tells. */
declare module 'vitest' {
  interface TaskMeta {
    /** What a test or a group that is skipped needs. */
    needs?: string;
  }
}

/**
 * Options of a test or a group that needs something of the machine: `describe('name', needs('root', isRoot), () => {})`.
 * Where it is known only inside the test, `context.skip('needs …')` does the same.
 */
export function needs(what: string, present: boolean): { skip?: boolean; meta?: { needs: string } } {
  return present ? {} : { skip: true, meta: { needs: what } };
}
