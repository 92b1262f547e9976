/** Finds an OCI runtime that works on this machine by running a sandbox with it. */
import { SandboxError } from '../../../shared/errors.ts';
import { diskIsFull, isDiskFullInProgram } from '../../../shared/fs/disk-full.ts';
import { newSandboxId } from '../../../shared/ids.ts';
import { removeSandbox } from '../cleanup/cleanup.ts';
import type { Host } from '../host/host.ts';
import { findProgram, runHostProgram } from '../host/host-program.ts';
import { PROBE_RUNTIME } from '../state/sandbox-record.ts';
import { claimSandbox } from '../storage/sandbox-ids.ts';
import { boot } from './boot.ts';
import { descriptorLimitHint } from './gvisor.ts';
import { newRecord } from './new-record.ts';
import type { OciRuntime } from './oci-runtime.ts';
import { probePlaces, readProbe, writeProbe } from './probe-cache.ts';
import { hasUserLimits } from './user-limits.ts';

/** Fastest first; `runsc` is only tried if named. */
const KNOWN = ['crun', 'runc'];

export interface ProbeAttempt {
  runtime: OciRuntime;
  /** Null if it worked. */
  error: string | null;
}

export interface ProbeResult {
  chosen: OciRuntime | null;
  attempts: ProbeAttempt[];
}

async function versionOf(path: string): Promise<string> {
  const { output } = await runHostProgram(path, ['--version']);
  return /version\s+(\S+)/.exec(output)?.[1] ?? 'unknown';
}

function baseName(wanted: string): string {
  const name = wanted.split('/').at(-1) ?? wanted;
  return ['crun', 'runc', 'runsc'].find((known) => name.startsWith(known)) ?? name;
}

/**
 * The ways to call the installed runtimes, best first: with cgroup limits before without, crun before runc.
 */
export async function candidates(host: Host, wanted: string): Promise<OciRuntime[]> {
  const root = host.diskIds.kind === 'root';
  const found: OciRuntime[] = [];
  for (const name of wanted === 'auto' ? KNOWN : [wanted]) {
    const path = findProgram(name);
    if (path === null) continue;
    const base = { name: baseName(name), path, version: await versionOf(path), ...NOTHING_FOUND };
    const hideUnified = root && base.name === 'crun' && host.cgroupLayout === 'hybrid';
    if (root && host.cgroupLayout !== 'none') found.push({ ...base, cgroups: 'cgroupfs', hideUnified });
    if (!root && host.cgroupLayout === 'v2') found.push({ ...base, cgroups: 'systemd', hideUnified: false });
    found.push({ ...base, cgroups: 'none', hideUnified });
  }
  const order = { cgroupfs: 0, systemd: 0, none: 1 };
  return found.sort((a, b) => order[a.cgroups] - order[b.cgroups]);
}

/** What only a sandbox that runs can show. */
type Findings = Pick<OciRuntime, 'egress' | 'userLimits'>;
const NOTHING_FOUND: Findings = { egress: false, userLimits: false };

/** `error` is null if the runtime works. */
async function tryRuntime(
  host: Host,
  runtime: OciRuntime,
  signal: AbortSignal,
): Promise<{ error: string | null; found: Findings }> {
  const sandboxId = newSandboxId();
  const drafted = newRecord(host, {
    sandboxId,
    runtime: PROBE_RUNTIME,
    vcpus: 1,
    memoryMb: 64,
    timeoutMs: 120_000,
    ports: [],
    env: {},
    networkPolicy: { mode: 'deny-all' },
  });
  const { paths, record } = await claimSandbox(host, drafted);
  try {
    const { egress, enforced, owner } = await boot(host, runtime, paths, record, signal);
    let userLimits: boolean;
    try {
      userLimits = await hasUserLimits(paths.agentSocket, signal);
    } finally {
      owner.destroy();
    }
    const found = { egress, userLimits };
    const missing = Object.entries(enforced).flatMap(([limit, inForce]) => (inForce ? [] : [limit]));
    // Do not promise limits that are not in force; the candidate without cgroups reports that there are none.
    if (runtime.cgroups !== 'none' && missing.length > 0) {
      return { error: `it ran, but these limits were not in force: ${missing.join(', ')}`, found };
    }
    return { error: null, found };
  } catch (error) {
    if (signal.aborted) throw error;
    // Says nothing about the runtime.
    if (isDiskFullInProgram(error)) throw error instanceof SandboxError ? error : diskIsFull(error);
    return { error: error instanceof Error ? error.message : String(error), found: NOTHING_FOUND };
  } finally {
    await removeSandbox(host, sandboxId);
  }
}

/** Tries every candidate until one runs a sandbox. Leaves nothing of the trials behind. */
export async function probeRuntimes(host: Host, wanted: string, signal: AbortSignal): Promise<ProbeResult> {
  const attempts: ProbeAttempt[] = [];
  for (const candidate of await candidates(host, wanted)) {
    const { error, found } = await tryRuntime(host, candidate, signal);
    const runtime = { ...candidate, ...found };
    attempts.push({ runtime, error });
    if (error === null) return { chosen: runtime, attempts };
  }
  return { chosen: null, attempts };
}

/**
 * The runtime to use; probed once per boot, for all state directories if possible.
 * @throws `unavailable` if none works
 */
export async function chooseRuntime(host: Host, wanted: string, signal: AbortSignal): Promise<OciRuntime> {
  const names = wanted === 'auto' ? KNOWN : [wanted];
  const executables = names.flatMap((name) => findProgram(name) ?? []);
  const places = await probePlaces(host, wanted, executables);
  const kept = await readProbe(places);
  if (kept !== null) return kept;
  const { chosen, attempts } = await probeRuntimes(host, wanted, signal);
  if (chosen === null) {
    const tried = attempts.map(({ runtime }) => `${runtime.name} (cgroups: ${runtime.cgroups})`).join(', ');
    const message =
      attempts.length === 0
        ? `No OCI runtime is installed (${wanted === 'auto' ? KNOWN.join(' or ') : wanted}).`
        : `No OCI runtime can run a sandbox here; tried ${tried}.`;
    const lack = attempts.map(({ runtime, error }) => descriptorLimitHint(runtime.name, error)).find(Boolean);
    throw new SandboxError('unavailable', message, {
      hint: lack ?? 'Run `sandbox-mcp doctor`: it names what is missing and the command that fixes it.',
      cause: attempts.map(({ error }) => error).join('\n'),
    });
  }
  await writeProbe(places, chosen, attempts.length === 1 && chosen.egress);
  return chosen;
}
