import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';

/** What of this machine a tool may touch. */
export interface LocalBounds {
  /** Absolute, symlinks resolved. The first is where relative paths start. */
  readonly allowDirs: readonly string[];
  /** The server's own files, out of bounds even within an allowed folder. */
  readonly stateDir: string;
}

/**
 * The real place of an existing file or directory: every symlink on the way resolved.
 *
 * @throws `permission` outside the allowed folders and in the state directory, `not_found` where nothing is
 */
export async function existingLocalPath(given: string, bounds: LocalBounds): Promise<string> {
  const wanted = absolute(given, bounds);
  const real = await resolveExisting(wanted);
  // What lies outside is refused alike whether it exists or not, so that nobody can ask what does.
  await requireWithin(given, real ?? (await realDestination(wanted)), bounds);
  if (real !== null) return real;
  throw new SandboxError('not_found', `There is nothing at local_path ${JSON.stringify(given)}.`, {
    hint: `Name an existing file or directory below: ${bounds.allowDirs.join(', ')}.`,
    details: { local_path: given },
  });
}

/**
 * The real place of something to be made: the symlinks of every existing parent resolved, the last name kept, so that
 * a link in its place is replaced and never written through.
 *
 * @throws `permission` outside the allowed folders and in the state directory
 */
export async function newLocalPath(given: string, bounds: LocalBounds): Promise<string> {
  const real = await realDestination(absolute(given, bounds));
  await requireWithin(given, real, bounds);
  if (!bounds.allowDirs.includes(real)) return real;
  throw new SandboxError('permission', `local_path ${JSON.stringify(given)} is an allowed folder itself.`, {
    hint: 'Name a new file or directory inside it.',
    details: { local_path: given },
  });
}

function absolute(given: string, bounds: LocalBounds): string {
  const [base] = bounds.allowDirs;
  if (base !== undefined) return resolve(base, given);
  throw new SandboxError('permission', 'This server allows no folder of its machine.', {
    hint: 'Ask the operator for --allow-dir, or use sandbox_write_files and sandbox_read_file.',
  });
}

/** Null where nothing is. */
async function resolveExisting(path: string): Promise<string | null> {
  try {
    return await realpath(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    if (code === 'EACCES' || code === 'ELOOP' || code === 'ENAMETOOLONG')
      throw unreachable(path, code, error);
    throw error;
  }
}

async function realDestination(path: string): Promise<string> {
  const names: string[] = [basename(path)];
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    const real = await resolveExisting(parent);
    if (real !== null) return join(real, ...names);
    // The root exists, so that this ends.
    names.unshift(basename(parent));
  }
}

async function requireWithin(given: string, real: string, bounds: LocalBounds): Promise<void> {
  if (bounds.allowDirs.some((folder) => isWithin(real, folder))) {
    if (!isWithin(real, await realStateDir(bounds))) return;
    throw new SandboxError(
      'permission',
      `local_path ${JSON.stringify(given)} lies in this server's own state directory, which no tool may touch.`,
      {
        hint: `Use another path below: ${bounds.allowDirs.join(', ')}.`,
        details: { local_path: given },
      },
    );
  }
  throw new SandboxError(
    'permission',
    `local_path ${JSON.stringify(given)} is outside the allowed folders.`,
    {
      hint: `Use a path below: ${bounds.allowDirs.join(', ')}. The operator allows others with --allow-dir.`,
      details: { local_path: given, allowed: bounds.allowDirs },
    },
  );
}

/** Where the state directory is, or will be once it is made, with every symlink resolved. */
export async function realStateDir(bounds: LocalBounds): Promise<string> {
  return (await resolveExisting(bounds.stateDir)) ?? (await realDestination(bounds.stateDir));
}

/** Whether `path` is `folder` or lies below it. Both absolute and real. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

function unreachable(path: string, code: string, cause: unknown): SandboxError {
  return new SandboxError('permission', `local_path ${JSON.stringify(path)} cannot be reached (${code}).`, {
    hint: 'Name a path that this server may read.',
    cause,
  });
}
