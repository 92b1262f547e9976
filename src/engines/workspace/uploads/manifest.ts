/** What was uploaded of a folder: one line for each entry, as JSON. */
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { SandboxError } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import type { SurveyedEntry } from './guest-access.ts';

const LINES_AT_ONCE = 2_000;

export interface ManifestEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink';
  /** Permission bits, size and time (Unix epoch milliseconds) when it was uploaded. */
  mode: number;
  sizeBytes: number;
  mtimeMs: number;
  /** The SHA-256 of a file's content in hexadecimal; the target of a link. */
  content: string | null;
  /** The stamp of the folder's file; null for what the sandbox had already. */
  host: string | null;
  /** The stamp of the sandbox's file once it was there; null if it was gone at once. */
  guest: string | null;
}

export type Manifest = Map<string, ManifestEntry>;

const line = z.tuple([
  z.string(),
  z.enum(['file', 'directory', 'symlink']),
  z.number(),
  z.number(),
  z.number(),
  z.string().nullable(),
  z.string().nullable(),
  z.string().nullable(),
]);

export async function writeManifest(file: string, manifest: Manifest): Promise<void> {
  const lines = [...manifest.values()].map((entry) => {
    const { path, type, mode, sizeBytes, mtimeMs, content, host, guest } = entry;
    return `${JSON.stringify([path, type, mode, sizeBytes, mtimeMs, content, host, guest])}\n`;
  });
  await writeFileAtomic(file, lines.join(''), 0o600, false);
}

/** @throws `server` for a damaged one */
export async function readManifest(file: string): Promise<Manifest> {
  try {
    const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
    const manifest: Manifest = new Map();
    for (const [at, text] of lines.entries()) {
      // A long list must not hold up the server's other calls.
      if (at % LINES_AT_ONCE === LINES_AT_ONCE - 1) await setImmediate();
      const entry = entryOf(JSON.parse(text));
      manifest.set(entry.path, entry);
    }
    return manifest;
  } catch (error) {
    throw new SandboxError('server', 'The list of what was uploaded to this sandbox cannot be read.', {
      hint: 'sandbox_download_file brings out what the sandbox has.',
      cause: error,
    });
  }
}

function entryOf(parsed: unknown): ManifestEntry {
  const [path, type, mode, sizeBytes, mtimeMs, content, host, guest] = line.parse(parsed);
  return { path, type, mode, sizeBytes, mtimeMs, content, host, guest };
}

/** A text that changes whenever the sandbox's file does. */
export function guestStamp({ type, mode, sizeBytes, mtimeMs, changedUs }: SurveyedEntry): string {
  return `${type}.${mode.toString(8)}.${sizeBytes}.${mtimeMs}.${changedUs}`;
}
