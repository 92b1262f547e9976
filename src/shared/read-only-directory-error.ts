import { SandboxError } from './errors.ts';

/** For a path whose directory exists but refuses new entries with "not found", as those of `/proc` do. */
export function readOnlyDirectoryError(path: string, details: Record<string, unknown>): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `Nothing can be made at "${path}": its directory takes no new files.`,
    {
      hint: 'Use a path below /vercel/sandbox or /tmp; /proc holds no files, and a link on the way has to lead somewhere.',
      details,
    },
  );
}
