/** The captures of one command: each process that followed it has written its own. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { CommandEnd } from '../state/command-record.ts';
import { type CaptureLog, capturedTotals } from './output-log.ts';

const CAPTURE = 'capture-';

/** The name of a capture's directory within that of its command. */
export function captureName(unique: string): string {
  return `${CAPTURE}${unique}`;
}

/** True if the stored end refers to this capture, false if it refers to one that holds more. */
export function isOf(end: Pick<CommandEnd, 'capture'>, log: CaptureLog): boolean {
  return end.capture === basename(log.directory);
}

/**
 * The output of a command on this machine: the capture that holds most, and the most bytes of each stream that any
 * capture has counted, so that what the chosen one lacks is reported as missing.
 *
 * @param own the capture of this process, used if no other holds more; null if it has none
 */
export async function fullestCapture(
  commandDir: string,
  own: CaptureLog | null,
): Promise<Pick<CommandEnd, 'capture' | 'stdoutBytes' | 'stderrBytes'>> {
  const name = own === null ? null : basename(own.directory);
  const fullest = {
    capture: name,
    stdoutBytes: own?.totals.stdout ?? 0,
    stderrBytes: own?.totals.stderr ?? 0,
  };
  let most = fullest.stdoutBytes + fullest.stderrBytes;
  for (const other of await readdir(commandDir)) {
    if (!other.startsWith(CAPTURE) || other === name) continue;
    const { stdout, stderr } = capturedTotals(join(commandDir, other));
    if (stdout + stderr > most) {
      most = stdout + stderr;
      fullest.capture = other;
    }
    fullest.stdoutBytes = Math.max(fullest.stdoutBytes, stdout);
    fullest.stderrBytes = Math.max(fullest.stderrBytes, stderr);
  }
  return fullest;
}
