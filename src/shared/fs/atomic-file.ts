import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { currentProcess, identify } from '../process-identity.ts';

/**
 * The random part identifies the writer, so that a file left by a crash can be told from one being written.
 */
const TEMPORARY_NAME = /\.([1-9][0-9]{0,9})-([0-9]*)-[0-9a-f]{12}\.tmp$/;

const WRITER = currentProcess();

/**
 * Writes a file atomically: after a crash or power cut, and for any reader, it has the old content or the
 * new, never a part. The new content is on disk when this resolves, unless `durable` is false: then it
 * survives this process but not a power cut, and costs no disk flush.
 *
 * @param mode permission bits of the new file, independent of the umask; 0600 by default
 * @throws the Node system error of the failed step; the temporary file is then removed
 */
export async function writeFileAtomic(
  path: string,
  data: string,
  mode = 0o600,
  durable = true,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    // `wx` neither follows a link nor opens a file that somebody else created.
    const file = await open(temporary, 'wx', mode);
    try {
      await file.chmod(mode);
      await file.writeFile(data, 'utf8');
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (durable) await syncDirectory(dirname(path));
}

/** A unique name next to `path` that identifies its creator. */
export function temporaryName(path: string): string {
  return `${path}.${WRITER.pid}-${WRITER.startTime}-${randomBytes(6).toString('hex')}.tmp`;
}

/** True for the name of a temporary file of `writeFileAtomic` whose writer is dead: nobody will finish it. */
export function isAbandonedTemporary(name: string): boolean {
  const match = TEMPORARY_NAME.exec(name);
  return match !== null && identify(Number(match[1]))?.startTime !== match[2];
}

/**
 * A rename survives a power cut once its directory is flushed. Windows cannot open directories and does not
 * need this.
 */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
