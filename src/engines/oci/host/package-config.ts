/**
 * The configuration files of the host's installed packages (deb-conffiles(5)), as dpkg's database names them.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as otherEvents } from 'node:timers/promises';
import { systemErrorCode } from '../../../shared/errors.ts';

const LINE = /^ \/etc\/(\S+) ([0-9a-f]{32})( obsolete)?$/;
const MAX_FILE_BYTES = 1_048_576;
/** Files are read synchronously, which costs a tenth; other events pass after this many. */
const FILES_AT_ONCE = 32;

/**
 * Paths below `etc` of configuration files that are as their package ships them and readable by everybody. A
 * file that the host's administrator has changed may hold what only this host should know.
 *
 * @param status dpkg's `status` file
 */
export async function pristineConfigFiles(etc: string, status: string): Promise<string[]> {
  const found: string[] = [];
  let read = 0;
  for (const [path, md5] of conffiles(status)) {
    if (isPristine(join(etc, path), md5)) found.push(path);
    read += 1;
    if (read % FILES_AT_ONCE === 0) await otherEvents();
  }
  return found.sort();
}

function conffiles(status: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of status.split('\n')) {
    const [, path, md5, obsolete] = LINE.exec(line) ?? [];
    if (path === undefined || md5 === undefined || obsolete !== undefined) continue;
    if (!path.split('/').includes('..')) found.set(path, md5);
  }
  return found;
}

function isPristine(file: string, md5: string): boolean {
  try {
    const info = lstatSync(file);
    if (!info.isFile() || (info.mode & 0o004) === 0 || info.size > MAX_FILE_BYTES) return false;
    return createHash('md5').update(readFileSync(file)).digest('hex') === md5;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return false;
    throw error;
  }
}
