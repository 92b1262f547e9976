/** The captures of one command: each process that followed it has written its own. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { SandboxError } from '../../../shared/errors.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import type { Totals } from '../../output-log/log-format.ts';
import type { LogWriter } from '../../output-log/log-writer.ts';
import { readLogTotals } from '../../output-log/read-log.ts';
import type { CommandEnd } from '../state/command-record.ts';
import type { VercelLayout } from '../state/state-layout.ts';

const CAPTURE = 'capture-';
/** Output up to this size is kept for other replicas; what is longer they read from the platform. */
const MAX_SHARED_BYTES = 1_048_576;
/** The files of a capture by their names, in base64. */
const Shared = z.record(z.string(), z.string());

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
  for (const other of await listDirectory(commandDir)) {
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

/** The directory of a capture; of none, one that does not exist. */
export function captureDirectory(layout: VercelLayout, commandId: string, capture: string | null): string {
  return join(layout.command(commandId).dir, capture ?? 'none');
}

/** Keeps the capture of an ended command in the store, for the replicas that did not follow it. */
export async function shareCapture(
  layout: VercelLayout,
  commandId: string,
  { capture }: Pick<CommandEnd, 'capture'>,
): Promise<void> {
  if (layout.store === null || capture === null) return;
  const { dir, output } = layout.command(commandId);
  const directory = join(dir, capture);
  const files = await Promise.all(
    (await readdir(directory)).map(async (name) => ({ name, bytes: await readFile(join(directory, name)) })),
  );
  if (files.reduce((sum, { bytes }) => sum + bytes.length, 0) > MAX_SHARED_BYTES) return;
  const texts = files.map(({ name, bytes }) => [name, bytes.toString('base64')]);
  await layout.store.swap(output, capture, null, JSON.stringify(Object.fromEntries(texts)));
}

/** Whether a capture is on this machine; one that another replica has shared is fetched. */
export async function hasCapture(
  layout: VercelLayout,
  commandId: string,
  { capture }: Pick<CommandEnd, 'capture'>,
): Promise<boolean> {
  if (capture === null) return true;
  const { dir, output } = layout.command(commandId);
  const directory = join(dir, capture);
  if (layout.store === null || (await pathExists(directory))) return true;
  const shared = await layout.store.read(output, capture);
  if (shared === null) return false;
  // Others may read it meanwhile: it is there completely, or not at all.
  const fetched = join(dir, `fetched-${randomBytes(6).toString('hex')}`);
  await mkdir(fetched, { recursive: true, mode: 0o700 });
  try {
    for (const [name, text] of Object.entries(Shared.parse(JSON.parse(shared))))
      await writeFile(join(fetched, basename(name)), Buffer.from(text, 'base64'), { mode: 0o600 });
    await rename(fetched, directory);
  } catch (error) {
    await rm(fetched, { recursive: true, force: true });
    // Another call has fetched it.
    if (!(await pathExists(directory))) throw error;
  }
  return true;
}
