/** Lists a tree entry by entry, so that two unpacked trees can be compared. */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { BUNDLE_HOOK, BUNDLE_PATHS, ETC_LINKS } from '../../../src/engines/oci/host/ca/ca-trust-links.ts';

/** Root's id on the host, which the listing subtracts: `0` for a tree with its real owners. */
export async function listTree(root: string, baseId: number): Promise<string[]> {
  const lines: string[] = [];
  const inodes = new Map<number, string>();
  // As bytes, since a name need not be UTF-8.
  const visit = async (path: Buffer, shown: string): Promise<void> => {
    const found = await lstat(path);
    const { mode, uid, gid, mtimeMs, size, ino } = found;
    const first = inodes.get(ino);
    const what = found.isDirectory()
      ? 'directory'
      : found.isSymbolicLink()
        ? `-> ${await readlink(path)}`
        : `${size} bytes ${sha(await readFile(path))}`;
    const owner = `${uid - baseId}:${gid - baseId}`;
    const same = first === undefined ? '' : ` = ${first}`;
    const time = Math.floor(mtimeMs / 1_000);
    lines.push(`${shown} ${(mode & 0o7777).toString(8)} ${owner} ${time} ${what}${same}`);
    if (!found.isDirectory()) inodes.set(ino, shown);
    else
      for (const name of await names(path))
        await visit(below(path, name), `${shown}/${name.toString('latin1')}`);
  };
  for (const name of await names(Buffer.from(root)))
    await visit(below(Buffer.from(root), name), name.toString('latin1'));
  return lines;
}

async function names(directory: Buffer): Promise<Buffer[]> {
  return (await readdir(directory, { encoding: 'buffer' })).sort(Buffer.compare);
}

const below = (directory: Buffer, name: Buffer) => Buffer.concat([directory, Buffer.from('/'), name]);
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 12);

/** What the import itself writes to `/etc`; it also changes the times of the directories. */
const WRITTEN = new Set(
  [
    ...['passwd', 'group', 'hostname', 'hosts', 'resolv.conf', 'nsswitch.conf'],
    ...[...ETC_LINKS.map(([path]) => path), ...BUNDLE_PATHS, BUNDLE_HOOK.path],
  ].flatMap((path) => {
    const parts = ['etc', ...path.split('/')];
    return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  }),
);

/** Whether a line of the listing is about something that the import itself writes. */
export function isWritten(line: string): boolean {
  return WRITTEN.has(line.split(' ')[0] ?? '');
}
