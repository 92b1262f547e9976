import { posix } from 'node:path';

/** The default working directory of a sandbox, as in the SDK. */
export const SANDBOX_CWD = '/vercel/sandbox';

/**
 * Makes a path absolute. It may be relative to `cwd`, which may itself be relative to the sandbox's working
 * directory (`base`).
 */
export function absolutePath(path: string, cwd: string | null, base: string = SANDBOX_CWD): string {
  return posix.resolve(base, cwd ?? '', path);
}
