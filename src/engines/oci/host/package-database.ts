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
    ['status', atRest(status)],
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
