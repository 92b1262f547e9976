/** Finds the relay processes of a server. */
import { readdirSync, readFileSync } from 'node:fs';

/** The pids of the relay processes started by this process. */
export function relaysOf(serverPid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => textOf(`/proc/${pid}/cmdline`).split('\0')[1] === 'relay')
    .filter(
      (pid) => / \d+ \(.*\) \S (\d+)/.exec(` ${textOf(`/proc/${pid}/stat`)}`)?.[1] === String(serverPid),
    );
}

/** True while a process exists and is not a zombie. */
export function isRunning(pid: number): boolean {
  return /^\d+ \(.*\) [^ZX]/.test(textOf(`/proc/${pid}/stat`));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
