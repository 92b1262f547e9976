/** The relay processes of a server, among the processes of this machine. */
import { readdirSync, readFileSync } from 'node:fs';

/** The process ids of the relay processes that this process has started. */
export function relaysOf(serverPid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => textOf(`/proc/${pid}/cmdline`).endsWith('\0relay\0'))
    .filter(
      (pid) => / \d+ \(.*\) \S (\d+)/.exec(` ${textOf(`/proc/${pid}/stat`)}`)?.[1] === String(serverPid),
    );
}

/** True while a process is there, and is no zombie. */
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
