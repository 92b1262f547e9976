import { z } from 'zod';

/** The format version of every registry record on disk. */
export const RECORD_VERSION = 1;

const versionSchema = z.object({ version: z.number() });

/** Why a record cannot be used. Its file is left unchanged, for a person or a newer version to handle. */
export class UnreadableRecord extends Error {
  override readonly name = 'UnreadableRecord';
  /** Written by a newer version of this program: not damaged. */
  readonly isNewer: boolean;

  constructor(message: string, options: ErrorOptions & { isNewer?: boolean } = {}) {
    super(message, options);
    this.isNewer = options.isNewer ?? false;
  }
}

/**
 * Parses the text of a record.
 *
 * @throws UnreadableRecord for a corrupt record or one of a newer version
 */
export function parseVersioned(text: string): unknown {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new UnreadableRecord('it is not JSON', { cause: error });
  }
  const version = versionSchema.safeParse(data);
  if (version.success && version.data.version > RECORD_VERSION) {
    throw new UnreadableRecord(
      `it has format version ${version.data.version}; this program knows ${RECORD_VERSION}`,
      { isNewer: true },
    );
  }
  return data;
}
