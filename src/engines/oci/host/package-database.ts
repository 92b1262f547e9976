/**
 * A copy of the host's dpkg database, at rest. In the live one a sandbox would see each of the host's
 * transactions, and apt refuses to work in the middle of one.
 */
import { constants } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { systemErrorCode } from '../../../shared/errors.ts';

/** The journal of a transaction, and locks. `status` is written last. */
const LEFT_OUT = ['updates', 'lock', 'lock-frontend', 'status'];
const FILES_AT_ONCE = 16;

/** @param to an empty directory */
export async function copyPackageDatabase(from: string, to: string): Promise<void> {
  const status = await readFile(join(from, 'status'), 'utf8');
  await copyDirectory(from, to, (name) => !LEFT_OUT.includes(name));
  await mkdir(join(to, 'updates'), { mode: 0o755 });
  await writeFile(join(to, 'status'), atRest(status), { mode: 0o644 });
}

async function copyDirectory(from: string, to: string, wanted: (name: string) => boolean): Promise<void> {
  const entries = (await readdir(from, { withFileTypes: true })).filter(({ name }) => wanted(name));
  await mapConcurrent(entries, FILES_AT_ONCE, async (entry) => {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      await mkdir(target, { mode: 0o755 });
      await copyDirectory(source, target, () => true);
    } else if (entry.isFile()) {
      await copyFile(source, target, constants.COPYFILE_FICLONE).catch((error: unknown) => {
        // dpkg removes its temporary files meanwhile.
        if (systemErrorCode(error) !== 'ENOENT') throw error;
      });
    }
  });
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
