import { posix } from 'node:path';

/** Characters that a file name cannot contain on this platform. */
export const FORBIDDEN_IN_NAMES = process.platform === 'win32' ? /[\0\\:]/ : /\0/;

/**
 * Whether a link stays within its tree wherever the tree is placed. `..` is only allowed at the start: after
 * a name it would go up from wherever that name, perhaps itself a link, leads.
 */
export function staysInside(linkPath: string, target: string): boolean {
  if (target === '' || posix.isAbsolute(target) || FORBIDDEN_IN_NAMES.test(target)) return false;
  const names = target.split('/').filter((name) => name !== '' && name !== '.');
  const climbs = names.findIndex((name) => name !== '..');
  const up = climbs === -1 ? names.length : climbs;
  const depth = linkPath.split('/').length - 1;
  return up <= depth && !names.slice(up).includes('..');
}
