/**
 * The configuration files of the host's installed packages (deb-conffiles(5)), as dpkg's database names them.
 */
import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { systemErrorCode } from '../../../shared/errors.ts';

const LINE = /^ \/etc\/(\S+) ([0-9a-f]{32})( obsolete)?$/;
const MAX_FILE_BYTES = 1_048_576;
const FILES_AT_ONCE = 16;

/**
 * Paths below `etc` of configuration files that are as their package ships them and readable by everybody. A
 * file that the host's administrator has changed may hold what only this host should know.
 *
 * @param status dpkg's `status` file
 */
export async function pristineConfigFiles(etc: string, status: string): Promise<string[]> {
  const found = await mapConcurrent([...conffiles(status)], FILES_AT_ONCE, async ([path, md5]) =>
    (await isPristine(join(etc, path), md5)) ? path : null,
  );
  return found.filter((path) => path !== null).sort();
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

async function isPristine(file: string, md5: string): Promise<boolean> {
  try {
    const info = await lstat(file);
    if (!info.isFile() || (info.mode & 0o004) === 0 || info.size > MAX_FILE_BYTES) return false;
    return (
      createHash('md5')
        .update(await readFile(file))
        .digest('hex') === md5
    );
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return false;
    throw error;
  }
}
