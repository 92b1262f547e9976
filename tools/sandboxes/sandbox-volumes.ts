import { posix } from 'node:path';
import { z } from 'zod';
import type { CreateRequest } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';

const MAX_VOLUMES = 8;
const MAX_PATH_BYTES = 512;

function isPlainPath(path: string): boolean {
  if (!path.startsWith('/') || path === '/' || path.endsWith('/')) return false;
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return false;
  // Control characters would be confusing wherever the path is shown.
  return (
    posix.normalize(path) === path && [...path].every((character) => character >= ' ' && character !== '\x7f')
  );
}

/** Listed only by the description of the list. */
const HIDDEN = { hidden: true };

const volume = z.strictObject({
  name: z
    .string()
    .refine((value) => /^[\w-]{1,64}$/.test(value), 'up to 64 letters, digits, _ and -')
    .meta(HIDDEN),
  path: z.string().refine(isPlainPath, 'an absolute path without . and .., up to 512 bytes').meta(HIDDEN),
  read_only: z.boolean().optional().meta(HIDDEN),
});

/** Volumes that a new sandbox mounts. */
export const volumes = z.array(volume).max(MAX_VOLUMES);

/** @throws `invalid_argument` if two have one name, or one path lies in another */
export function toVolumes(list: z.output<typeof volumes>): NonNullable<CreateRequest['volumes']> {
  const [first, second] = list.flatMap((one, index) => {
    const other = list
      .slice(index + 1)
      .find(({ name, path }) => name === one.name || overlaps(path, one.path));
    return other === undefined ? [] : [one, other];
  });
  if (first !== undefined && second !== undefined) {
    throw new SandboxError(
      'invalid_argument',
      `The volumes ${first.name} at ${first.path} and ${second.name} at ${second.path} collide.`,
      { hint: 'Call sandbox_create with different names, and with paths that do not lie in each other.' },
    );
  }
  return list.map(({ name, path, read_only }) => ({ name, path, readOnly: read_only ?? false }));
}

/** @throws `invalid_argument` if a volume would hide the workspace at this path */
export function requireVisible(workspacePath: string, list: CreateRequest['volumes'] = []): void {
  const over = list.find(({ path }) => `${workspacePath}/`.startsWith(`${path}/`));
  if (over === undefined) return;
  throw new SandboxError(
    'invalid_argument',
    `The volume ${over.name} at ${over.path} would hide the workspace at ${workspacePath}.`,
    {
      hint: 'Call sandbox_create with another path for the volume: beside the workspace or below it.',
      details: { volume: over.name, path: over.path, workspace: workspacePath },
    },
  );
}

function overlaps(one: string, other: string): boolean {
  return `${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`);
}
