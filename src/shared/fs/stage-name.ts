import { randomBytes } from 'node:crypto';

/** Characters of the target's name to keep: each is at most three bytes, and a name at most 255. */
const SHOWN = 60;
const STAGE_NAME = /^\..*\.[0-9a-f]{12}\.partial$/s;

/** The temporary name of a file or directory called `name` until it is complete. */
export function stageName(name: string): string {
  return `.${name.slice(0, SHOWN)}.${randomBytes(6).toString('hex')}.partial`;
}

/** Whether `stageName` can have produced this name. */
export function isStageName(name: string): boolean {
  return STAGE_NAME.test(name);
}
