import { readFile } from 'node:fs/promises';
import { systemErrorCode } from '../errors.ts';

/**
 * The record in a JSON file; null if there is no file.
 *
 * @param schema throws for an invalid record
 * @param damaged creates the error to throw for a file without a valid record
 */
export async function readRecordFile<Data>(
  path: string,
  schema: { parse(data: unknown): Data },
  damaged: (cause: unknown) => Error | Promise<Error>,
): Promise<Data | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw await damaged(error);
  }
}
