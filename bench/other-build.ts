/** Builds another commit of this repository beside this one. */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { UsageError } from './arguments.ts';
import type { OtherBuild } from './row.ts';

const ROOT = join(import.meta.dirname, '..');
const NULL_DEVICE = '/dev/null';
const execute = promisify(execFile);

/**
 * Checks the commit out into a temporary folder and builds it there, with packages of its own unless it has
 * the same. `remove` also gives back what its server may have taken from the host.
 *
 * @throws UsageError if there is no such commit
 */
export async function buildOther(ref: string): Promise<OtherBuild & { remove(): Promise<void> }> {
  const commit = await commitOf(ref);
  const home = await mkdtemp(join(tmpdir(), 'sbxb-'));
  const folder = join(home, 'other');
  const { uid, gid, mode } = await stat(NULL_DEVICE);
  const remove = async (): Promise<void> => {
    await restoreNull(uid, gid, mode & 0o7777);
    await git('worktree', 'remove', '--force', folder).catch(() => {});
    await rm(home, { recursive: true, force: true });
    await git('worktree', 'prune');
  };
  try {
    await git('worktree', 'add', '--detach', folder, commit);
    if (await hasSamePackages(folder)) await sharePackages(folder);
    else await execute('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'], { cwd: folder });
    await execute(process.execPath, ['scripts/build.mjs'], { cwd: folder });
    return { name: ref, dist: join(folder, 'dist'), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Earlier servers of root, with crun 1.8.1, have given it to the root of their sandboxes. */
async function restoreNull(uid: number, gid: number, mode: number): Promise<void> {
  const now = await stat(NULL_DEVICE);
  if (now.uid !== uid || now.gid !== gid) await chown(NULL_DEVICE, uid, gid);
  if ((now.mode & 0o7777) !== mode) await chmod(NULL_DEVICE, mode);
}

async function commitOf(ref: string): Promise<string> {
  try {
    return await git('rev-parse', '--verify', '--end-of-options', `${ref}^{commit}`);
  } catch (error) {
    throw new UsageError(`Unknown commit ${JSON.stringify(ref)}.`, { cause: error });
  }
}

async function hasSamePackages(folder: string): Promise<boolean> {
  const [ours, theirs] = await Promise.all(
    [ROOT, folder].map((place) => readFile(join(place, 'package-lock.json'), 'utf8')),
  );
  return ours === theirs;
}

/** Each by a link of its own: the folder's cache describes the build of one tree. */
async function sharePackages(folder: string): Promise<void> {
  const ours = join(ROOT, 'node_modules');
  await mkdir(join(folder, 'node_modules'));
  for (const name of await readdir(ours)) {
    if (name !== '.cache') await symlink(join(ours, name), join(folder, 'node_modules', name));
  }
}

/** Also as root, in a clone of somebody else. */
async function git(...args: string[]): Promise<string> {
  return (await execute('git', ['-c', 'safe.directory=*', ...args], { cwd: ROOT })).stdout.trim();
}
