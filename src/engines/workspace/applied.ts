import { readFile } from 'node:fs/promises';
import { systemErrorCode } from '../../shared/errors.ts';

/** Stamps of files as an apply left them, by path. */
export async function readApplied(file: string): Promise<Record<string, string>> {
  try {
    const stored: unknown = JSON.parse(await readFile(file, 'utf8'));
    const entries = Object.entries(Object(stored)).map(([name, stamp]) => [name, String(stamp)]);
    return Object.assign(Object.create(null), Object.fromEntries(entries));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return Object.create(null);
    throw error;
  }
}
