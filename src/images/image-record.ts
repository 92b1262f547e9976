/** The on-disk record of an image. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../shared/errors.ts';
import { writeFileAtomic } from '../shared/fs/atomic-file.ts';
import { readRecordFile } from '../shared/fs/record-file.ts';
import { isImageName } from './image-name.ts';

const FORMAT = 1;
/** How images are linked to the CA of their sandbox; raised whenever more programs find it. */
export const CA_LINKS_VERSION = 1;

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
  /** `CA_LINKS_VERSION` when it was made; 0 for images of earlier versions. */
  caLinks: z.number().int().default(0),
  sizeBytes: z.number(),
  /** Of the registry's manifest; null for an image that was not pulled. */
  digest: z.string().nullable().default(null),
  /** What it was pulled as, in canonical form; empty once other images have taken its tags. */
  references: z.array(z.string()).default([]),
  /** The layers of the store that its tree links to; empty for an image that was not pulled. */
  layers: z.array(z.string()).default([]),
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
export type MadeImage = Omit<ImageRecord, 'format' | 'name' | 'arch' | 'createdAt' | 'ids' | 'caLinks'>;

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

/** The file of an image's CA certificates; empty if the image has none. */
export async function readCaCertificates(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
