import { lstat } from 'node:fs/promises';
import { systemErrorCode } from '../errors.ts';

/** Whether anything is at a path; links are not followed. @throws what the system says but `ENOENT` */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
