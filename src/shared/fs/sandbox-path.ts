import { posix } from 'node:path';

/** Where work in a sandbox starts, as in the SDK. */
export const SANDBOX_CWD = '/vercel/sandbox';

/** An absolute path from one that may be relative to `cwd`, itself relative to the sandbox's own. */
export function absolutePath(path: string, cwd: string | null): string {
  return posix.resolve(SANDBOX_CWD, cwd ?? '', path);
}
