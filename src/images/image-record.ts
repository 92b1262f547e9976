/** The on-disk record of an image. */
import { z } from 'zod';
import { SandboxError } from '../shared/errors.ts';
import { writeFileAtomic } from '../shared/fs/atomic-file.ts';
import { readRecordFile } from '../shared/fs/record-file.ts';
import { isImageName } from './image-name.ts';

const FORMAT = 1;

const recordSchema = z.strictObject({
  format: z.literal(FORMAT),
  name: z.string().refine(isImageName),
  /**
   * `rootfs`: a complete root file system; `node`: mounted below `/vercel/runtimes` on top of the host's
   * files.
   */
  kind: z.enum(['rootfs', 'node']),
  /** Version of the Node release; null for a root file system. */
  version: z.string().nullable(),
  /** In Node's naming: `x64`, `arm64`. */
  arch: z.string(),
  createdAt: z.number(),
  /** The id mapping that its files were written with. */
  ids: z.string(),
  sizeBytes: z.number(),
  /** Of the registry's manifest; null for an image that was not pulled. */
  digest: z.string().nullable().default(null),
  /** What it was pulled as, in canonical form; empty once other images have taken its tags. */
  references: z.array(z.string()).default([]),
  /** Default environment of its programs. */
  env: z.record(z.string(), z.string()),
  /** Default shell of a terminal. */
  shell: z.string(),
  /** Mode and host owner of the top-level directories, which an overlay does not take from a lower layer. */
  directories: z.record(
    z.string(),
    z.strictObject({ mode: z.number().int(), uid: z.number().int(), gid: z.number().int() }),
  ),
  /** Top-level links such as `bin` → `usr/bin`. */
  links: z.array(z.strictObject({ name: z.string(), target: z.string() })),
  /** Number of entries owned by root because this user has no other ids to map. */
  flattenedOwners: z.number(),
  /** The first skipped entries of the archive, with the reason. */
  skipped: z.array(z.string()),
  skippedCount: z.number(),
});

export type ImageRecord = z.output<typeof recordSchema>;

/** The part of the record that the importer supplies; the store adds the rest. */
export type MadeImage = Omit<ImageRecord, 'format' | 'name' | 'arch' | 'createdAt' | 'ids'>;

/** Writes the record; it is flushed to disk when this resolves. */
export async function writeImageRecord(path: string, record: Omit<ImageRecord, 'format'>): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify({ format: FORMAT, ...record }, null, 1)}\n`, 0o600);
}

/**
 * The record of an image, or null if there is none.
 * @throws `server` if it is damaged or from another version
 */
export async function readImageRecord(path: string, name: string): Promise<ImageRecord | null> {
  const damaged = (cause: unknown) =>
    new SandboxError('server', `The record of image "${name}" is damaged or of another version.`, {
      hint: `Remove it with \`sandbox-mcp image remove ${name}\` and import it again.`,
      cause,
    });
  return readRecordFile(path, recordSchema, damaged);
}
