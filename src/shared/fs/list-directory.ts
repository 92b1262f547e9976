import { readdir } from 'node:fs/promises';
import { systemErrorCode } from '../errors.ts';

/**
 * The names in a directory, in no particular order; none if it does not exist.
 *
 * @throws any other system error
 */
export async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
