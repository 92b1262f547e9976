/** The captures of one command: each process that followed it has written its own. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SandboxError } from '../../../shared/errors.ts';
import type { Totals } from '../../output-log/log-format.ts';
import type { LogWriter } from '../../output-log/log-writer.ts';
import { readLogTotals } from '../../output-log/read-log.ts';
import type { CommandEnd } from '../state/command-record.ts';

const CAPTURE = 'capture-';

/** The name of a capture's directory within that of its command. */
export function captureName(unique: string): string {
  return `${CAPTURE}${unique}`;
}

/** True if the stored end refers to this capture, false if it refers to one that holds more. */
export function isOf(end: Pick<CommandEnd, 'capture'>, log: LogWriter): boolean {
  return end.capture === basename(log.directory);
}

/**
 * The output of a command on this machine: the capture that holds most, and the most bytes of each stream
 * that any capture has counted, so that what the chosen one lacks is reported as missing.
 *
 * @param own the capture of this process, used if no other holds more; null if it has none
 */
export async function fullestCapture(
  commandDir: string,
  own: LogWriter | null,
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
    const totals = await totalsOf(join(commandDir, other));
    if (totals === null) continue;
    const { stdout, stderr } = totals;
    if (stdout + stderr > most) {
      most = stdout + stderr;
      fullest.capture = other;
    }
    fullest.stdoutBytes = Math.max(fullest.stdoutBytes, stdout);
    fullest.stderrBytes = Math.max(fullest.stderrBytes, stderr);
  }
  return fullest;
}

/** Null if the log is damaged: its process may have died with the machine. */
async function totalsOf(directory: string): Promise<Totals | null> {
  try {
    return await readLogTotals(directory);
  } catch (error) {
    if (error instanceof SandboxError) return null;
    throw error;
  }
}
