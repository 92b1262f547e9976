/** How a workspace gets into its sandbox: an overlay of the folder, or the folder itself. */
import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { traced } from '../../../shared/async/traced.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import { unfitFileSystem } from '../../workspace/folder.ts';
import type { Host } from '../host/host.ts';
import type { IdMap } from '../host/id-map.ts';
import type { WorkspaceRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import type { MappedDirectories } from '../storage/mapped-directories.ts';
import type { Mount } from '../storage/overlay-layers.ts';
import { hiddenPaths, maskPaths } from './hidden-paths.ts';

/** Mount points in the bundle. */
const FOLDER = 'workspace-folder';
const MASK = 'workspace-mask';
const MERGED = 'workspace';

/** What a boot needs to mount a workspace. */
export interface WorkspaceMount {
  /** Options of the agent's `launch`. */
  options: string[];
  /** The runtime's mount. */
  mount: Mount;
  /** Whether the runtime finds the folder by its path, which may lead to another one by then. */
  isByPath: boolean;
  /** With the time of the mount. */
  record: WorkspaceRecord;
}

/**
 * Creates the directories of a workspace and says how to mount it.
 *
 * @param hiding what `findHidden` finds
 */
export async function prepareWorkspace(
  host: Host,
  sandbox: { paths: SandboxPaths; mapped: MappedDirectories; sandboxIds: IdMap },
  {
    workspace,
    folder,
    hiding,
  }: { workspace: WorkspaceRecord; folder: HostDirectory; hiding: Promise<string[]> },
  signal: AbortSignal,
): Promise<WorkspaceMount> {
  const { paths } = sandbox;
  await makeMountPoint(paths, host.diskIds, workspace.path);
  const layers = {
    upper: join(paths.workspace, 'upper'),
    work: join(paths.workspace, 'work'),
    mask: join(paths.workspace, 'mask'),
  };
  for (const directory of [paths.workspace, ...Object.values(layers)])
    await mkdir(directory, { mode: 0o700 });
  const { uid, gid, hostUid, hostGid } = host.diskIds;
  for (const directory of [layers.upper, layers.work]) await chown(directory, hostUid + uid, hostGid + gid);
  await chmod(layers.upper, folder.stats.mode & 0o7777);
  for (const name of [FOLDER, MASK, MERGED]) await mkdir(join(paths.bundle, name));
  const masked = await makeMask(host, folder, layers.mask, await hiding, signal);
  const { ctimeNs } = await lstat(layers.upper, { bigint: true });
  const request = { ...sandbox, workspace, folder, layers, masked };
  const mounted = host.mounts === 'by-root' ? mountByRoot(request) : mountByRuntime(request);
  return { ...mounted, record: { ...workspace, mountedNs: String(ctimeNs) } };
}

interface MountRequest {
  paths: SandboxPaths;
  mapped: MappedDirectories;
  sandboxIds: IdMap;
  workspace: WorkspaceRecord;
  folder: HostDirectory;
  layers: { upper: string; work: string; mask: string };
  /** Whether `mask` hides anything. */
  masked: boolean;
}

type Mounted = Omit<WorkspaceMount, 'record'>;

function mountByRoot(request: MountRequest): Mounted {
  const { paths, mapped, sandboxIds, workspace, folder, layers, masked } = request;
  const { mode, path: destination } = workspace;
  const options = folderOptions(sandboxIds, folder, mode === 'live');
  if (masked) options.push('--workspace-mask', layers.mask, MASK);
  const lower = masked ? `${MASK}:${FOLDER}` : FOLDER;
  if (mode === 'copy-on-write') {
    // With redirect_dir, applying a renamed directory would take away the layer that the sandbox still needs.
    const own = `upperdir=${mapped.inBundle(layers.upper)},workdir=${mapped.inBundle(layers.work)}`;
    options.push('--overlay', MERGED, `lowerdir=${lower},${own},redirect_dir=off`);
  } else if (masked) {
    options.push('--overlay', MERGED, `lowerdir=${lower}`);
  }
  const source = join(paths.bundle, masked || mode === 'copy-on-write' ? MERGED : FOLDER);
  return {
    options,
    mount: { destination, type: 'bind', source, options: bindOptions(mode) },
    isByPath: false,
  };
}

/**
 * In the user namespace of a single id, where the folder's owner is the sandbox's user. From there, the
 * kernel opens no descriptor of this process, so the folder is mounted by its path.
 */
function mountByRuntime({ workspace, layers, masked }: MountRequest): Mounted {
  const { mode, path: destination, localPath } = workspace;
  const writable = mode === 'copy-on-write';
  if (!writable && !masked) {
    return {
      options: [],
      mount: { destination, type: 'bind', source: localPath, options: bindOptions(mode) },
      isByPath: true,
    };
  }
  const lower = [...(masked ? [layers.mask] : []), localPath].map(escapeOption).join(':');
  const options = [`lowerdir=${lower}`];
  if (writable) options.push(`upperdir=${layers.upper}`, `workdir=${layers.work}`, 'volatile');
  options.push('userxattr', 'nosuid', 'nodev', ...(writable ? [] : ['ro']));
  return { options: [], mount: { destination, type: 'overlay', source: 'overlay', options }, isByPath: true };
}

function bindOptions(mode: WorkspaceRecord['mode']): string[] {
  return ['bind', 'nosuid', 'nodev', ...(mode === 'read-only' ? ['ro'] : [])];
}

/** A path in the options of an overlay: the kernel's list of layers takes a backslash before these. */
function escapeOption(path: string): string {
  return path.replace(/[\\:,]/g, '\\$&');
}

/**
 * Why a folder cannot be mounted in a sandbox; null if it can. The kernel lets root alone map the ids of a
 * host's file system, so that with subordinate ids its files would not belong to the sandbox's user.
 */
export async function whyNotMounted(
  { mounts, diskIds, canMapIds }: Host,
  folder: HostDirectory,
): Promise<string | null> {
  if (mounts !== 'by-root' && diskIds.kind !== 'single') return 'the server does not run as root';
  const fileSystem = await unfitFileSystem(folder);
  if (fileSystem !== null) return `it is on ${fileSystem}`;
  if (mounts !== 'by-root' || (await canMapIds(folder))) return null;
  return 'the kernel cannot map the ids of its file system';
}

/** In the sandbox's own layer, with owners as in a new sandbox. */
async function makeMountPoint(paths: SandboxPaths, diskIds: IdMap, path: string): Promise<void> {
  const [top, ...names] = path.split('/').filter((name) => name !== '');
  let place = join(paths.upper, top ?? '');
  for (const name of names) {
    place = join(place, name);
    try {
      await mkdir(place, { mode: 0o755 });
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') continue;
      throw error;
    }
    await chmod(place, 0o755);
    await chown(place, diskIds.hostUid + diskIds.uid, diskIds.hostGid + diskIds.gid);
  }
}

/** @param writable maps the owner alone, so that the sandbox's root cannot create files of the host's root */
function folderOptions(sandboxIds: IdMap, { stats }: HostDirectory, writable: boolean): string[] {
  const mapOf = writable ? singleMap : swappedMap;
  const uids = mapOf(stats.uid, sandboxIds.uid, sandboxIds.hostUid);
  const gids = mapOf(stats.gid, sandboxIds.gid, sandboxIds.hostGid);
  return ['--workspace', uids, gids, String(sandboxIds.hostUid), FOLDER, writable ? 'rw' : 'ro'];
}

function singleMap(owner: number, user: number, base: number): string {
  return `${owner} ${base + user} 1\n`;
}

const IDS = 65_536;

/**
 * The lines of an id map (user_namespaces(7)) by which what belongs to `owner` on disk belongs to `user` in
 * the sandbox. The other ids of the sandbox stay, and the owner gets the number of the user in exchange.
 */
function swappedMap(owner: number, user: number, base: number): string {
  const lines: [number, number, number][] = [[owner, base + user, 1]];
  const swapped = owner < IDS && owner !== user;
  if (swapped) lines.push([user, base + owner, 1]);
  const taken = [...new Set([user, ...(swapped ? [owner] : [])])].sort((a, b) => a - b);
  let from = 0;
  for (const id of [...taken, IDS]) {
    if (id > from) lines.push([from, base + from, id - from]);
    from = id + 1;
  }
  return lines.map((line) => `${line.join(' ')}\n`).join('');
}

/**
 * The paths in the folder that the sandbox must not see, one character per byte. One walk over the folder.
 *
 * @throws `conflict` for a live workspace that has some: it shows the folder itself
 */
export async function findHidden(
  { agent }: Host,
  { hidden, mode }: WorkspaceRecord,
  folder: HostDirectory,
  signal: AbortSignal,
): Promise<string[]> {
  const paths = await traced('engine', 'hidden files', () => hiddenPaths(agent, folder, hidden, signal));
  if (mode === 'live' && paths.length > 0) throw cannotHide(paths);
  return paths;
}

/** Hides these paths. Returns whether there are any. */
async function makeMask(
  { agent }: Host,
  folder: HostDirectory,
  mask: string,
  paths: string[],
  signal: AbortSignal,
): Promise<boolean> {
  if (paths.length > 0) await maskPaths(agent, folder, mask, paths, signal);
  return paths.length > 0;
}

function cannotHide(paths: string[]): SandboxError {
  return new SandboxError(
    'conflict',
    `A live workspace cannot hide files, and this folder has ${paths.length} that would be hidden.`,
    {
      hint: 'Use mode copy-on-write, or show them with lines such as `!.env` in .sandboxignore.',
      details: { hidden: paths.slice(0, 20).map((path) => Buffer.from(path, 'latin1').toString('utf8')) },
    },
  );
}
