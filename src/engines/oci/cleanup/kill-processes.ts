/** Kills the processes of a sandbox and removes its cgroups. */
import { setTimeout as delay } from 'node:timers/promises';
import { SandboxError } from '../../../shared/errors.ts';
import { isProcessAlive, type ProcessIdentity } from '../../../shared/process-identity.ts';
import {
  cgroupPath,
  cgroupsAreEmpty,
  findCgroups,
  killCgroup,
  removeCgroups,
  thaw,
} from '../host/cgroups.ts';
import type { Host } from '../host/host.ts';

/** Only a process that is stuck in the kernel takes so long. */
const KILL_TIMEOUT_MS = 30_000;

/**
 * Kills every process of a sandbox and waits until the kernel has released them. Killing PID 1 ends the whole
 * PID namespace; the cgroups cover what an interrupted start left without one.
 */
async function killProcesses(init: ProcessIdentity | null, cgroups: string[]): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
    const alive = init !== null && isProcessAlive(init);
    if (alive) process.kill(init.pid, 'SIGKILL');
    const empty = await cgroupsAreEmpty(cgroups);
    if (!alive && empty) return;
    if (!empty) for (const directory of cgroups) await killCgroup(directory);
    // Under cgroups v1 a frozen process does not even end by SIGKILL: a server may have died while it copied.
    if (!empty) await thaw(cgroups);
    if (performance.now() > deadline) {
      throw new SandboxError('server', 'The sandbox did not end within 30 s of SIGKILL.', {
        hint: 'A process is stuck in the kernel; call sandbox_stop again later.',
      });
    }
    await delay(pause);
  }
}

/** Kills and removes everything that a sandbox has besides its directory: processes and cgroups. */
export async function killAndRemoveCgroups(
  host: Host,
  sandboxId: string,
  init: ProcessIdentity | null,
): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (;;) {
    // Searched again each time: a killed runtime may have been creating them until just now.
    const cgroups = await findCgroups(host.cgroupLayout, cgroupPath(sandboxId));
    await killProcesses(init, cgroups);
    const busy = await removeCgroups(cgroups);
    if (busy.length === 0) return;
    if (performance.now() > deadline) throw new Error(`cgroups stay busy: ${busy.join(', ')}`);
    await delay(2);
  }
}
