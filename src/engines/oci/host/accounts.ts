/** The accounts of a sandbox: its own users, and the host's system accounts, which own files of packages. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';

/** The first id of ordinary users; system accounts are below it (login.defs(5), `UID_MIN`). */
const FIRST_PERSON = 1_000;
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;
/** The group of accounts without a group of their own. */
const NOGROUP = '65534';
const NUMBER = /^\d{1,3}$/;

const USERS = [
  'root:x:0:0:root:/root:/bin/bash',
  'vercel-sandbox:x:1000:1000:Vercel Sandbox:/home/vercel-sandbox:/bin/bash',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
];
const GROUPS = ['root:x:0:', 'tty:x:5:', 'vercel-sandbox:x:1000:', 'nogroup:x:65534:'];

/**
 * The contents of `passwd` and `group` (passwd(5), group(5)). From the host they only take names and ids of
 * system accounts: package managers fail if an owner that their database names does not exist.
 *
 * @param etc the host's `/etc`
 */
export async function accountFiles(etc: string): Promise<{ passwd: string; group: string }> {
  const [users, groups] = await Promise.all([systemLines(etc, 'passwd'), systemLines(etc, 'group')]);
  const user = ([name, , uid, gid]: string[]) => `${name}:x:${uid}:${gid}::/nonexistent:/usr/sbin/nologin`;
  return {
    passwd: withOthers(
      USERS,
      users.filter(([, , , gid = '']) => NUMBER.test(gid) || gid === NOGROUP),
      user,
    ),
    group: withOthers(GROUPS, groups, ([name, , gid]) => `${name}:x:${gid}:`),
  };
}

/** The fields of each line about a system account. Lines with an invalid name or number are skipped. */
async function systemLines(etc: string, file: string): Promise<string[][]> {
  let text: string;
  try {
    text = await readFile(join(etc, file), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const lines = text.split('\n').map((line) => line.split(':'));
  return lines.filter(
    ([name = '', , id = '']) => NAME.test(name) && NUMBER.test(id) && Number(id) < FIRST_PERSON,
  );
}

/** The sandbox's own lines first; others with the same name or number are left out. */
function withOthers(own: string[], others: string[][], lineOf: (fields: string[]) => string): string {
  const names = new Set(own.map((line) => line.split(':')[0]));
  const ids = new Set(own.map((line) => line.split(':')[2]));
  const lines = others.filter(([name, , id]) => !names.has(name) && !ids.has(id)).map(lineOf);
  return `${[...own, ...lines].join('\n')}\n`;
}
