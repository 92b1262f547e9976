import { lstat } from 'node:fs/promises';
import { systemErrorCode } from '../errors.ts';

/** Whether a path exists; links are not followed. @throws any system error but `ENOENT` */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
