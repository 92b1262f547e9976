/** The folder of a workspace: checked, and held open from the check until the sandbox has it. */
import { readlink, realpath, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, relative, sep } from 'node:path';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { HostDirectory } from '../../shared/fs/host-directory.ts';
import type { WorkspaceRequest } from '../engine.ts';
import { pathRule, readHiddenRules } from './hidden-files.ts';
import type { WorkspaceFolder } from './open-workspace.ts';

/** File systems that an overlay refuses as lower layer or cannot follow (statfs(2)). */
const NOT_LAYERS: Readonly<Record<number, string | undefined>> = {
  26985: 'NFS',
  1702057286: 'FUSE',
  2035054128: 'overlayfs',
  16914839: '9p, as Windows drives in WSL are',
  4283649346: 'CIFS',
  4266872130: 'SMB',
  19780: 'FAT',
};

/** Identifies an open folder: a path may lead to another one later. */
function folderId({ stats }: HostDirectory): string {
  return `${stats.dev}:${stats.ino}`;
}

/**
 * Opens the folder of a new workspace.
 *
 * @throws `invalid_argument` for a file, `/`, a home folder or one of git's, `not_found`
 */
export async function openWorkspaceFolder({ localPath }: WorkspaceRequest): Promise<HostDirectory> {
  // All of `/home` too, and each of its folders: they hold the secrets of their users.
  const homes = [homedir(), dirname(homedir()), '/home', '/root'];
  if (localPath === '/' || homes.includes(localPath) || dirname(localPath) === '/home') {
    throw new SandboxError(
      'invalid_argument',
      `workspace.local_path ${localPath} is too broad for a workspace.`,
      {
        hint: 'Use the folder of one project.',
        details: { local_path: localPath },
      },
    );
  }
  // What git keeps there, settings and hooks, runs programs on the host.
  if (localPath.split('/').some((name) => name.toLowerCase() === '.git')) {
    throw new SandboxError('invalid_argument', `workspace.local_path ${localPath} is inside .git.`, {
      hint: 'Use the folder that contains .git.',
      details: { local_path: localPath },
    });
  }
  return openFolder(localPath);
}

/** The file system of a folder if an overlay cannot use it as a layer; null if it can. */
export async function unfitFileSystem(folder: HostDirectory): Promise<string | null> {
  const { type } = await statfs(folder.self);
  return NOT_LAYERS[type >>> 0] ?? null;
}

/**
 * What is recorded of a new workspace.
 *
 * @param stateDir the server's own files, which are hidden if the folder contains them
 * @throws as `readHiddenRules`
 */
export async function describeFolder(
  request: WorkspaceRequest,
  folder: HostDirectory,
  stateDir: string,
): Promise<WorkspaceFolder> {
  const rules = await readHiddenRules(folder);
  const own = relative(request.localPath, await realpath(stateDir).catch(() => stateDir));
  const isInside = own !== '' && !isAbsolute(own) && own.split(sep)[0] !== '..';
  // Last, so that no rule of the folder shows it again.
  const hidden = isInside ? `${rules}\n${pathRule(own)}` : rules;
  return { ...request, hidden, folder: folderId(folder) };
}

/** Opens a folder that a sandbox has as its workspace. @throws `conflict` if it is another one by now */
export async function reopenWorkspaceFolder(localPath: string, id: string): Promise<HostDirectory> {
  const folder = await openFolder(localPath);
  if (folderId(folder) === id) return folder;
  await folder.close();
  throw replaced(localPath);
}

/** @throws `conflict` if the path of a workspace leads to another folder than the one that was checked */
export async function requireSameFolder({ localPath, folder }: WorkspaceFolder): Promise<void> {
  await (await reopenWorkspaceFolder(localPath, folder)).close();
}

async function openFolder(localPath: string): Promise<HostDirectory> {
  try {
    return await HostDirectory.open(localPath);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') throw replaced(localPath);
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    const isLink = await readlink(localPath).then(
      () => true,
      () => false,
    );
    throw new SandboxError(
      isLink ? 'conflict' : 'invalid_argument',
      `workspace.local_path ${JSON.stringify(localPath)} is not a folder.`,
      { hint: 'Use the path of an existing folder.', details: { local_path: localPath } },
    );
  }
}

function replaced(localPath: string): SandboxError {
  return new SandboxError('conflict', `The folder ${localPath} was removed or replaced.`, {
    hint: 'Save the files of the sandbox with sandbox_download_file, then create a sandbox on the new folder.',
    details: { local_path: localPath },
  });
}
