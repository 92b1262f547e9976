import { realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import { type HostDirectory, type HostEntry, openHostEntry } from '../../src/shared/fs/host-directory.ts';

/** The host folders that tools may access. */
export interface LocalBounds {
  /** Absolute, symlinks resolved. The first is where relative paths start. */
  readonly allowDirs: readonly string[];
  /** The server's own files, off limits even inside an allowed folder. */
  readonly stateDir: string;
}

/**
 * The real path of an existing file or directory, with all symlinks resolved.
 *
 * @throws `permission` outside the allowed folders and in the state directory, `not_found`
 */
export async function existingLocalPath(given: string, bounds: LocalBounds): Promise<string> {
  const wanted = absolute(given, bounds);
  const real = await resolveExisting(wanted);
  // Paths outside are refused whether they exist or not, so that a caller cannot probe for them.
  await requireWithin(given, real ?? (await realDestination(wanted)), bounds);
  if (real !== null) return real;
  throw new SandboxError('not_found', `local_path ${JSON.stringify(given)} does not exist.`, {
    hint: `Use an existing file or directory below: ${bounds.allowDirs.join(', ')}.`,
    details: { local_path: given },
  });
}

/**
 * The real path of a file or directory to create: symlinks in its parents are resolved, but not the last
 * name, so that a link there is replaced and never followed.
 *
 * @throws `permission` outside the allowed folders and in the state directory
 */
export async function newLocalPath(given: string, bounds: LocalBounds): Promise<string> {
  const real = await realDestination(absolute(given, bounds));
  await requireWithin(given, real, bounds);
  if (!bounds.allowDirs.includes(real)) return real;
  throw new SandboxError('permission', `local_path ${JSON.stringify(given)} is itself an allowed folder.`, {
    hint: 'Use a new file or directory inside it.',
    details: { local_path: given },
  });
}

/** If renames continue beyond this many attempts, the call fails. */
const MAX_RESOLUTIONS = 8;

/** A file or directory, named in its parent, which is held open. Close the parent after use. */
export interface LocalEntry extends HostEntry {
  /** Its real path when it was opened. */
  readonly path: string;
}

/**
 * Opens the parent of the real path that `resolve` returns. In between, somebody may place a link on the way.
 * No link is followed: the path is then resolved and checked again.
 *
 * @param making whether to create missing parents, and who is told of each
 * @throws the system error if a parent is missing or keeps changing
 */
export async function openLocal(
  resolveReal: () => Promise<string>,
  ...making: [make?: boolean, onMade?: (parent: HostDirectory, name: string) => void]
): Promise<LocalEntry> {
  for (let attempt = 1; ; attempt += 1) {
    const path = await resolveReal();
    try {
      return { ...(await openHostEntry(path, ...making)), path };
    } catch (error) {
      const code = systemErrorCode(error);
      const changed = code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENOENT';
      if (!changed || attempt === MAX_RESOLUTIONS) throw error;
    }
  }
}

function absolute(given: string, bounds: LocalBounds): string {
  const [base] = bounds.allowDirs;
  if (base !== undefined) return resolve(base, given);
  throw new SandboxError('permission', 'This server does not allow access to any host folder.', {
    hint: 'Ask the operator for --allow-dir, or use sandbox_write_files and sandbox_read_file.',
  });
}

/** Null if it does not exist. */
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
    // The root exists, so this ends.
    names.unshift(basename(parent));
  }
}

async function requireWithin(given: string, real: string, bounds: LocalBounds): Promise<void> {
  if (bounds.allowDirs.some((folder) => isWithin(real, folder))) {
    if (!isWithin(real, await realStateDir(bounds))) return;
    throw new SandboxError(
      'permission',
      `local_path ${JSON.stringify(given)} is inside the server's state directory, which tools may not access.`,
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

/** The real path of the state directory, which may not exist yet. */
export async function realStateDir(bounds: LocalBounds): Promise<string> {
  return (await resolveExisting(bounds.stateDir)) ?? (await realDestination(bounds.stateDir));
}

/** A real path in an allowed folder, as seen from the innermost such folder. */
export function pathInAllowed(path: string, { allowDirs }: LocalBounds): string {
  const folders = allowDirs.filter((folder) => isWithin(path, folder));
  const [innermost = sep] = folders.sort((one, other) => other.length - one.length);
  return relative(innermost, path);
}

/** Whether `path` is `folder` or below it. Both are absolute and real. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

function unreachable(path: string, code: string, cause: unknown): SandboxError {
  return new SandboxError('permission', `local_path ${JSON.stringify(path)} is not accessible (${code}).`, {
    hint: 'Use a path that this server can read.',
    cause,
  });
}
