import { SandboxError } from './errors.ts';

/** For a path whose directory exists but refuses new entries with "not found", as those of `/proc` do. */
export function readOnlyDirectoryError(path: string, details: Record<string, unknown>): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `Cannot create "${path}": its directory does not accept new files.`,
    {
      hint: 'Use a path below /vercel/sandbox or /tmp. New files cannot be created in /proc or behind a dangling link.',
      details,
    },
  );
}
