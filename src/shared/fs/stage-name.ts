import { randomBytes } from 'node:crypto';

/** Characters of the target's name: three bytes each at most, and a name has 255. */
const SHOWN = 60;
const STAGE_NAME = /^\..*\.[0-9a-f]{12}\.partial$/s;

/** What a file or directory called `name` is called until it is whole. */
export function stageName(name: string): string {
  return `.${name.slice(0, SHOWN)}.${randomBytes(6).toString('hex')}.partial`;
}

/** Whether `stageName` can have made this name. */
export function isStageName(name: string): boolean {
  return STAGE_NAME.test(name);
}
