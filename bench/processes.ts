import { readdirSync, readFileSync } from 'node:fs';

/** The number of processes on the machine that run exactly this program with these arguments. */
export function processesNamed(...argv: string[]): number {
  const wanted = `${argv.join('\0')}\0`;
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && commandLine(name) === wanted).length;
}

/** Empty for a process that has exited. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
