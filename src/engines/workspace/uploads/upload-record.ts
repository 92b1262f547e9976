/** What this machine records about a workspace that was uploaded. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SandboxError } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { readRecordFile } from '../../../shared/fs/record-file.ts';
import type { WorkspaceFolder } from '../open-workspace.ts';

const schema = z.strictObject({
  version: z.literal(1),
  localPath: z.string(),
  path: z.string(),
  mode: z.enum(['copy-on-write', 'read-only', 'live']),
  hidden: z.string(),
  folder: z.string(),
  volumes: z.array(z.string()).optional(),
});

export interface UploadPaths {
  directory: string;
  record: string;
  manifest: string;
  applied: string;
}

/** @param sandboxDirectory goes with the record of the sandbox */
export function uploadPaths(sandboxDirectory: string): UploadPaths {
  const directory = join(sandboxDirectory, 'workspace');
  return {
    directory,
    record: join(directory, 'record.json'),
    manifest: join(directory, 'manifest.jsonl'),
    applied: join(directory, 'applied.json'),
  };
}

export async function makeUploadDirectory({ directory }: UploadPaths): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
}

/** Written last: what has a record is complete. */
export async function writeUploadRecord({ record }: UploadPaths, folder: WorkspaceFolder): Promise<void> {
  await writeFileAtomic(record, JSON.stringify({ version: 1, ...folder }), 0o600, false);
}

/** Null if the sandbox has no workspace that was uploaded. @throws `server` for a damaged one */
export async function readUploadRecord({ record }: UploadPaths): Promise<WorkspaceFolder | null> {
  const damaged = (cause: unknown) =>
    new SandboxError('server', 'The record of this sandbox’s workspace is damaged.', {
      hint: 'sandbox_download_file brings out what the sandbox has.',
      cause,
    });
  const found = await readRecordFile(record, schema, damaged);
  if (found === null) return null;
  const { version: _version, ...folder } = found;
  return folder;
}
