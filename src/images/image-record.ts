/** What is kept on disk about an image. */
import { z } from 'zod';
import { SandboxError } from '../shared/errors.ts';
import { writeFileAtomic } from '../shared/fs/atomic-file.ts';
import { readRecordFile } from '../shared/fs/record-file.ts';
import { isImageName } from './image-name.ts';

const FORMAT = 1;

const recordSchema = z.strictObject({
  format: z.literal(FORMAT),
  name: z.string().refine(isImageName),
  /** `rootfs` is a whole root file system; `node` lies below `/vercel/runtimes` of the host's. */
  kind: z.enum(['rootfs', 'node']),
  /** Of a Node release; null for a root file system. */
  version: z.string().nullable(),
  /** As Node names it: `x64`, `arm64`. */
  arch: z.string(),
  createdAt: z.number(),
  /** Whose ids are in its files. */
  ids: z.string(),
  sizeBytes: z.number(),
  /** What its programs find in their environment where nobody says otherwise. */
  env: z.record(z.string(), z.string()),
  /** The shell that a terminal opens where nobody says otherwise. */
  shell: z.string(),
  /** Top-level directories with mode and host owner, which no lower layer of an overlay shows. */
  directories: z.record(
    z.string(),
    z.strictObject({ mode: z.number().int(), uid: z.number().int(), gid: z.number().int() }),
  ),
  /** Top-level links such as `bin` → `usr/bin`. */
  links: z.array(z.strictObject({ name: z.string(), target: z.string() })),
  /** How many entries belong to root because this user has no other ids to give them to. */
  flattenedOwners: z.number(),
  /** Entries of the archive that were left out, with the reason; the first of them. */
  skipped: z.array(z.string()),
  skippedCount: z.number(),
});

export type ImageRecord = z.output<typeof recordSchema>;

/** What a maker knows of an image; the rest is the store's. */
export type MadeImage = Omit<ImageRecord, 'format' | 'name' | 'arch' | 'createdAt' | 'ids'>;

/** On disk when this resolves. */
export async function writeImageRecord(path: string, record: Omit<ImageRecord, 'format'>): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify({ format: FORMAT, ...record }, null, 1)}\n`, 0o600);
}

/**
 * The record of an image, or null where there is none.
 * @throws `server` where it is damaged or of another version
 */
export async function readImageRecord(path: string, name: string): Promise<ImageRecord | null> {
  const damaged = (cause: unknown) =>
    new SandboxError('server', `The record of image "${name}" is damaged or of another version.`, {
      hint: `Remove it with \`sandbox-mcp image remove ${name}\` and import it again.`,
      cause,
    });
  return readRecordFile(path, recordSchema, damaged);
}
