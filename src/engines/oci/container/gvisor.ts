/** Explains why gVisor's `runsc` cannot run sandboxes, wherever it was requested. */

/**
 * A hint for a trial that failed because the runtime cannot pass file descriptors; null for any other
 * failure. gVisor has had `--pass-fd` since March 2023 (google/gvisor#8634).
 */
export function descriptorLimitHint(name: string, error: string | null): string | null {
  if (name !== 'runsc' || error === null || !/flag provided but not defined: -+preserve-fds/.test(error))
    return null;
  return (
    'gVisor has no `run --preserve-fds`, through which the agent receives its directory; its `run --pass-fd` (since ' +
    'March 2023) is not supported here. Use crun or runc.'
  );
}
