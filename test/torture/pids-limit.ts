/** Takes a process the right to start others for a while, by a cgroup of its own. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemErrorCode } from '../../src/shared/errors.ts';

const ROOT = '/sys/fs/cgroup';
const V1 = join(ROOT, 'pids');

/**
 * Runs `work` while the process can start neither processes nor threads. Does nothing on machines without the
 * controller.
 */
export async function limitProcesses(pid: number, work: () => Promise<unknown>): Promise<void> {
  const hierarchy = existsSync(V1) ? V1 : ROOT;
  const group = join(hierarchy, `torture-${pid}`);
  const home = join(hierarchy, homeOf(pid), 'cgroup.procs');
  mkdirSync(group);
  try {
    if (!existsSync(join(group, 'pids.max'))) return;
    move([String(pid)], join(group, 'cgroup.procs'));
    writeFileSync(join(group, 'pids.max'), readFileSync(join(group, 'pids.current'), 'utf8'));
    await work();
    writeFileSync(join(group, 'pids.max'), 'max');
  } finally {
    await remove(group, home);
  }
}

/** The path of the process's cgroup in the hierarchy that limits processes (cgroups(7)). */
function homeOf(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  return /^\d+:pids:(.*)$/m.exec(lines)?.[1] ?? /^0::(.*)$/m.exec(lines)?.[1] ?? '/';
}

/** Moves its processes back and removes it. */
async function remove(group: string, home: string): Promise<void> {
  for (;;) {
    move(readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean), home);
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (systemErrorCode(error) !== 'EBUSY') throw error;
    }
    await delay(20);
  }
}

function move(pids: readonly string[], procs: string): void {
  for (const pid of pids) {
    try {
      writeFileSync(procs, pid);
    } catch (error) {
      if (systemErrorCode(error) !== 'ESRCH') throw error;
    }
  }
}
