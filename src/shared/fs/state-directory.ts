/** Creates the state directory, and explains problems with it in terms that the operator can act on. */
import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SandboxError, systemErrorCode } from '../errors.ts';

/** What each file system error code means. */
const PROBLEMS: Readonly<Record<string, string>> = {
  EACCES: 'this user has no permission to write there',
  EPERM: 'this user has no permission to write there',
  EROFS: 'its file system is read-only',
  EEXIST: 'part of its path is a file',
  ENOTDIR: 'part of its path is a file',
  ENOENT: 'it cannot be created there',
  ELOOP: 'its path has a loop of symbolic links',
  ENAMETOOLONG: 'its path is too long',
  ENOSPC: 'its disk is full',
  EDQUOT: 'the disk quota of this user is exceeded',
};

/**
 * Creates a directory and its missing parents; an existing one is left unchanged.
 *
 * Creates one level at a time, since Node's recursive `mkdir` never returns on a file system that refuses a
 * new directory with ENOENT, as /proc does.
 *
 * @param mode permission bits of new directories, independent of the umask
 * @throws the Node system error of the failed step
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  if (await isDirectory(path)) return;
  if (dirname(path) !== path) await makeDirectory(dirname(path), mode);
  try {
    await mkdir(path, { mode });
    await chmod(path, mode);
  } catch (error) {
    // Another process may have created it meanwhile.
    if (systemErrorCode(error) !== 'EEXIST' || !(await isDirectory(path))) throw error;
  }
}

/**
 * What to throw for an error from creating, reading or writing something in the state directory:
 * `unavailable` for what only the operator can fix, else the error itself.
 *
 * @param directory the state directory or a folder in it; an error about a path elsewhere is returned
 *   unchanged
 */
export function stateDirectoryError(error: unknown, directory: string): unknown {
  const problem = PROBLEMS[systemErrorCode(error) ?? ''];
  if (problem === undefined || !concerns(error, directory)) return error;
  return new SandboxError('unavailable', `The state directory cannot be used: ${problem}.`, {
    hint: 'The operator can choose another with --state-dir; `sandbox-mcp doctor` shows whether it is suitable.',
    cause: error,
  });
}

/**
 * True unless the error names paths and none of them is in, at or above the directory. A full disk names
 * none.
 */
function concerns(error: unknown, directory: string): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const paths = ['path' in error ? error.path : undefined, 'dest' in error ? error.dest : undefined].filter(
    (path) => typeof path === 'string',
  );
  return paths.length === 0 || paths.some((path) => contains(directory, path) || contains(path, directory));
}

function contains(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
