/** A temporary ordinary user for a test, without adding a user or a line of /etc/subuid to the machine. */
import { chownSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const USER = { name: 'sandboxtester', uid: 4_242 };
/** Far from the ids of real users, and below those of the engine as root. */
const RANGE = '1500000000:65536';

/**
 * Runs in a new mount namespace. Every step replaces the process, so the program keeps the pid of the first.
 */
const SCRIPT = `set -e
mount --make-rprivate /
for name in passwd group subuid subgid; do
  [ -e "/etc/$name" ] && mount --bind "$1/$name" "/etc/$name"
done
mount --bind "$2" "$1/work"
cd "$1/work"
scratch=$1 uid=$3
shift 3
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups env HOME="$scratch/home" TMPDIR="$scratch/tmp" "$@"`;

export interface OrdinaryUser {
  /** Folders that belong to the user. */
  readonly home: string;
  readonly tmp: string;
  /** Makes the user the owner of a file or folder. */
  own(path: string): void;
  /** The command for root to run `argv` as this user, in the repository's folder, with the same pid. */
  command(argv: readonly string[]): string[];
  remove(): Promise<void>;
}

/** Only root can become another user. */
export const canBecomeOrdinary = process.getuid?.() === 0;

/**
 * Creates the user. `subordinate`: with a range of subordinate ids, otherwise with a single id. Without
 * `named`, the user has no line in /etc/passwd or /etc/group, and the range is listed by number.
 */
export async function makeOrdinaryUser(
  subordinate: boolean,
  { named = true }: { named?: boolean } = {},
): Promise<OrdinaryUser> {
  const scratch = await mkdtemp(join(tmpdir(), 'user-'));
  for (const name of ['home', 'tmp', 'work']) await mkdir(join(scratch, name));
  for (const name of ['.', 'home', 'tmp']) chownSync(join(scratch, name), USER.uid, USER.uid);
  const line = named ? `${USER.name}:x:${USER.uid}:${USER.uid}::/nonexistent:/bin/sh\n` : '';
  const groupLine = named ? `${USER.name}:x:${USER.uid}:\n` : '';
  await writeFile(join(scratch, 'passwd'), `root:x:0:0:root:/root:/bin/sh\n${line}`);
  await writeFile(join(scratch, 'group'), `root:x:0:\n${groupLine}`);
  const ranges = subordinate ? `${named ? USER.name : USER.uid}:${RANGE}\n` : '';
  for (const name of ['subuid', 'subgid']) await writeFile(join(scratch, name), ranges);
  return {
    home: join(scratch, 'home'),
    tmp: join(scratch, 'tmp'),
    own: (path) => chownSync(path, USER.uid, USER.uid),
    command: (argv) => [
      'unshare',
      '--mount',
      'sh',
      '-c',
      SCRIPT,
      'sh',
      scratch,
      ROOT,
      String(USER.uid),
      ...argv,
    ],
    remove: () => rm(scratch, { recursive: true, force: true }),
  };
}
