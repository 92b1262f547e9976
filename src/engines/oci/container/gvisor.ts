/** Why gVisor's `runsc` does not run sandboxes, told wherever it was named. */

/**
 * One sentence for a trial that failed because the runtime cannot hand descriptors over; null for any other failure.
 * `--pass-fd` is in gVisor since March 2023 (google/gvisor#8634).
 */
export function descriptorLimitHint(name: string, error: string | null): string | null {
  if (name !== 'runsc' || error === null || !/flag provided but not defined: -+preserve-fds/.test(error))
    return null;
  return (
    'gVisor has no `run --preserve-fds`, by which the agent gets its directory; releases since March 2023 have ' +
    '`run --pass-fd`, which might do and is untested: use crun or runc.'
  );
}
