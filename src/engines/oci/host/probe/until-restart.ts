/** What is kept until the machine restarts: results of probes, which another state directory can use too. */
import { readFileSync, readlinkSync } from 'node:fs';

/** For files of this user until the machine restarts (file-hierarchy(7)). */
export function runtimeDirectory(): string | null {
  const uid = process.geteuid?.();
  if (uid === undefined) return null;
  return uid === 0 ? '/run/sandbox-mcp' : `/run/user/${uid}/sandbox-mcp`;
}

/**
 * The rights of this process that decide what it can mount and what a runtime can do: its namespaces,
 * capabilities and seccomp mode.
 */
export function rightsOfProcess(): string {
  const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'].map((name) =>
    readlinkSync(`/proc/self/ns/${name}`),
  );
  const status = readFileSync('/proc/self/status', 'utf8');
  const rights = status.match(/^(CapEff|CapBnd|NoNewPrivs|Seccomp):.*$/gm) ?? [];
  return [process.geteuid?.() ?? '', ...namespaces, ...rights].join(' ');
}
