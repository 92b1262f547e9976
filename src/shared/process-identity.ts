import { readFileSync } from 'node:fs';
import { systemErrorCode } from './errors.ts';

/**
 * Identifies a process uniquely: pids are reused, start times are not within one boot, and each boot has an
 * id. Without `/proc`, `startTime` and `bootId` are empty and only the pid is compared.
 */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot (field 22 of `/proc/<pid>/stat`), as text. */
  startTime: string;
  bootId: string;
}

const BOOT_ID = process.platform === 'linux' ? (read('/proc/sys/kernel/random/boot_id') ?? '').trim() : '';

/** The identity of this process. */
export function currentProcess(): ProcessIdentity {
  return identify(process.pid) ?? { pid: process.pid, startTime: '', bootId: BOOT_ID };
}

/** The identity of the living process with this pid, or null; a zombie counts as dead. */
export function identify(pid: number): ProcessIdentity | null {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  if (process.platform !== 'linux') return answersSignals(pid) ? { pid, startTime: '', bootId: '' } : null;
  const stat = read(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The second field is the program's name in parentheses, which may contain blanks and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTime = fields[19];
  if (startTime === undefined || state === 'Z' || state === 'X') return null;
  return { pid, startTime, bootId: BOOT_ID };
}

/** True while exactly the process that `identity` describes is alive. */
export function isProcessAlive(identity: ProcessIdentity): boolean {
  const present = identify(identity.pid);
  return present !== null && present.startTime === identity.startTime && present.bootId === identity.bootId;
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}

/** Null if the file is missing; if a process ends between open and read, the read fails with ESRCH. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}
