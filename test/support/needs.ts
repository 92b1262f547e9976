/** Skips tests with a reason, which the summary at the end of a run shows. */
declare module 'vitest' {
  interface TaskMeta {
    /** What a skipped test or group needs. */
    needs?: string;
  }
}

/**
 * Options of a test or group that requires something of the machine:
 * `describe('name', needs('root', isRoot), () => {})`. If it is known only inside the test,
 * `context.skip('needs …')` does the same.
 */
export function needs(what: string, present: boolean): { skip?: boolean; meta?: { needs: string } } {
  return present ? {} : { skip: true, meta: { needs: what } };
}
