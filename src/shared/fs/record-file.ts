import { readFile } from 'node:fs/promises';
import { systemErrorCode } from '../errors.ts';

/**
 * The record that a file of JSON holds; null where there is no file.
 *
 * @param schema refuses by an exception what is no record
 * @param damaged what to throw for a file that holds none
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
