/** An ordinary user for as long as a test needs one, on a machine that gets neither a user nor a line in /etc/subuid. */
import { chownSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const USER = { name: 'sandboxtester', uid: 4_242 };
/** Far from the ids of a real user of the machine, and from those of the engine as root. */
const RANGE = '2000000000:65536';

/** Runs in a mount namespace of its own. Every step replaces the process, so the program keeps the number of the first. */
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
  /** Folders of the user's own. */
  readonly home: string;
  readonly tmp: string;
  /** What root has to run so that `argv` runs as this user, in the repository's folder, with the same process number. */
  command(argv: readonly string[]): string[];
  remove(): Promise<void>;
}

/** Only root can become somebody else. */
export const canBecomeOrdinary = process.getuid?.() === 0;

/**
 * Makes the user. `subordinate`: with a range of ids beside their own, else with the one. Without `named` no line of
 * /etc/passwd or /etc/group tells of them, and the range is given by number.
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
