import { readFileSync } from 'node:fs';

/** A process's proportional set size in kB: shared pages count by their share (proc(5), `smaps_rollup`). */
export function memoryKb(pid: number): number {
  const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
  if (match === null) throw new Error(`the memory of process ${pid} cannot be read`);
  return Number(match[1]);
}
