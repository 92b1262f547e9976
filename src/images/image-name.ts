/** Validates image names, which are used as directory names and as values of `runtime`. */
import { SandboxError } from '../shared/errors.ts';

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/**
 * Reserved: `host` means the host's files, `probe` was the engine's trial sandbox, `lock` is a file in the
 * images directory.
 */
const RESERVED = ['host', 'probe', 'lock'];

/** True for a valid image name, whether or not the image exists. */
export function isImageName(name: string): boolean {
  return NAME.test(name) && !RESERVED.includes(name);
}

/** @throws `invalid_argument` with the rules for names */
export function requireImageName(name: string): void {
  if (isImageName(name)) return;
  const why = RESERVED.includes(name) ? 'is reserved' : 'is not a valid image name';
  throw new SandboxError('invalid_argument', `${JSON.stringify(name.slice(0, 80))} ${why}.`, {
    hint: `Names have 1 to 63 characters of a-z, 0-9, ".", "_" and "-", start with a letter or digit, and are not ${RESERVED.join(' or ')}.`,
  });
}

/** The major version in the name of a Node release (`node22`), or null. */
export function nodeMajor(name: string): string | null {
  return /^node([1-9]\d{0,2})$/.exec(name)?.[1] ?? null;
}
