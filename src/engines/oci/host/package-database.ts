/**
 * The host's dpkg database as a sandbox sees it: at rest. In the live one a sandbox would see each of the
 * host's transactions, and apt refuses to work in the middle of one. Two layers above the host's directory
 * replace what changes during a transaction; the thousands of files of packages (`info`) need no copy.
 */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import { makeDirectory } from '../../../shared/fs/state-directory.ts';

const STATE = 'state';
const MASK = 'mask';
/**
 * Directories that hold a transaction: the journal, and the control files of the package that is being
 * unpacked.
 */
const OF_TRANSACTION = ['updates', 'tmp.ci'];

/**
 * Writes the layers, for the database as it is now.
 * @param database the host's
 * @param to an empty directory
 */
export async function writePackageState(database: string, to: string): Promise<void> {
  const status = await readFile(join(database, 'status'), 'utf8');
  const [state, mask] = [join(to, STATE), join(to, MASK)];
  for (const directory of [state, mask, join(state, 'triggers')]) await makeDirectory(directory, 0o755);
  for (const [name, content] of [
    ['status', withoutServerData(atRest(status))],
    ['triggers/Unincorp', ''],
  ] as const) {
    await writeFile(join(state, name), content);
    await chmod(join(state, name), 0o644);
  }
  for (const name of OF_TRANSACTION) {
    await makeDirectory(join(state, name), 0o755);
    // A directory merges with those of lower layers; a file between them ends the merge.
    await writeFile(join(mask, name), '');
  }
}

/** What `writePackageState` wrote, the uppermost layer first; none if `directory` does not have it. */
export async function packageStateLayers(directory: string): Promise<string[]> {
  const layers = [STATE, MASK].map((name) => join(directory, name));
  const [state = ''] = layers;
  return (await pathExists(state)) ? layers : [];
}

const UNFINISHED = ['unpacked', 'half-configured', 'triggers-awaited', 'triggers-pending', 'half-installed'];

/**
 * dpkg's `status` without traces of a transaction: a package that is being upgraded or configured counts as
 * installed, since its files are in `/usr`; one that is being installed for the first time is not there yet.
 */
export function atRest(status: string): string {
  const kept = status.split('\n\n').flatMap((stanza) => {
    const state = /^Status: \S+ \S+ (\S+)$/m.exec(stanza)?.[1] ?? '';
    if (!UNFINISHED.includes(state)) return [stanza];
    if (state === 'half-installed' && !/^Config-Version: /m.test(stanza)) return [];
    const lines = stanza
      .split('\n')
      .filter((line) => !/^(Config-Version|Triggers-Pending|Triggers-Awaited): /.test(line));
    return [
      lines.map((line) => (line.startsWith('Status: ') ? 'Status: install ok installed' : line)).join('\n'),
    ];
  });
  return kept.join('\n\n');
}

/**
 * Servers that need what only their installation creates, and what a sandbox does not see of the host: a
 * cluster of PostgreSQL, databases, host keys of sshd, the pages and enabled sites of a web server, or a
 * configuration that not everybody may read. They count as not installed, so `apt-get install` creates all of
 * it. Their programs are in `/usr` all the same.
 */
const CREATES_DATA =
  /^(postgresql-\d+(\.\d+)?|mariadb-server(-\d+\.\d+)?|mysql-server-\d+\.\d+|openssh-server|redis-server|slapd|nginx-common|apache2)$/;

/** dpkg's `status` without these packages, and without those that depend on them. */
export function withoutServerData(status: string): string {
  const packages = status.split('\n\n').map(parseStanza);
  let kept = packages.filter(({ name }) => !CREATES_DATA.test(name));
  const provided = new Set(packages.flatMap(({ provides }) => provides));
  for (let before = packages.length; kept.length < before; ) {
    before = kept.length;
    const available = new Set(kept.flatMap(({ provides }) => provides));
    const isLost = (names: readonly string[]): boolean =>
      names.some((name) => provided.has(name)) && !names.some((name) => available.has(name));
    kept = kept.filter(({ depends }) => !depends.some(isLost));
  }
  return kept.map(({ stanza }) => stanza).join('\n\n');
}

interface Package {
  stanza: string;
  name: string;
  /** Its own name and those of virtual packages; none if it is not installed. */
  provides: string[];
  /** Groups of alternatives, one of which is needed; none if it is not installed. */
  depends: string[][];
}

function parseStanza(stanza: string): Package {
  const lines = stanza.split('\n');
  const groups = (field: string): string[][] => {
    const value = lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2);
    // A name may have an architecture and a version: `perl:any (>= 5)`.
    const nameOf = (text: string): string => text.trim().split(/[ :(]/, 1)[0] ?? '';
    return value?.split(',').map((group) => group.split('|').map(nameOf)) ?? [];
  };
  const [name = ''] = groups('Package').flat();
  const isInstalled = /^Status: \S+ \S+ installed$/m.test(stanza);
  return {
    stanza,
    name,
    provides: isInstalled ? [name, ...groups('Provides').flat()] : [],
    depends: isInstalled ? [...groups('Pre-Depends'), ...groups('Depends')] : [],
  };
}
