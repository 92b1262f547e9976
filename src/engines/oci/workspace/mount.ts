/** How a workspace gets into its sandbox: an overlay of the folder, or the folder itself. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import type { Host } from '../host/host.ts';
import type { IdMap } from '../host/id-map.ts';
import type { WorkspaceRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import type { Mount } from '../storage/overlay-layers.ts';
import { hiddenPaths, hiddenRules } from './hidden-files.ts';

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
  /** With the time of the mount. */
  record: WorkspaceRecord;
}

/** Creates the directories of a workspace and says how to mount it. */
export async function prepareWorkspace(
  host: Host,
  paths: SandboxPaths,
  { workspace, folder }: { workspace: WorkspaceRecord; folder: HostDirectory },
  signal: AbortSignal,
): Promise<WorkspaceMount> {
  requireMounts(host);
  await makeMountPoint(paths, host.idMap, workspace.path);
  const layers = {
    upper: join(paths.workspace, 'upper'),
    work: join(paths.workspace, 'work'),
    mask: join(paths.workspace, 'mask'),
  };
  for (const directory of [paths.workspace, ...Object.values(layers)])
    await mkdir(directory, { mode: 0o700 });
  const { uid, gid, hostUid, hostGid } = host.idMap;
  for (const directory of [layers.upper, layers.work]) await chown(directory, hostUid + uid, hostGid + gid);
  await chmod(layers.upper, folder.stats.mode & 0o7777);
  for (const name of [FOLDER, MASK, MERGED]) await mkdir(join(paths.bundle, name));
  const masked = await makeMask(host, folder, workspace, layers.mask, signal);
  const writable = workspace.mode === 'live';
  const options = [...folderOptions(host.idMap, folder, writable)];
  if (masked) options.push('--workspace-mask', layers.mask, MASK);
  const lower = masked ? `${MASK}:${FOLDER}` : FOLDER;
  if (workspace.mode === 'copy-on-write') {
    // With redirect_dir, applying a renamed directory would take away the layer that the sandbox still needs.
    const rest = `upperdir=${layers.upper},workdir=${layers.work},redirect_dir=off`;
    options.push('--overlay', MERGED, `lowerdir=${lower},${rest}`);
  } else if (masked) {
    options.push('--overlay', MERGED, `lowerdir=${lower}`);
  }
  const isOverlay = masked || workspace.mode === 'copy-on-write';
  const { ctimeNs } = await lstat(layers.upper, { bigint: true });
  return {
    options,
    record: { ...workspace, mountedNs: String(ctimeNs) },
    mount: {
      destination: workspace.path,
      type: 'bind',
      source: join(paths.bundle, isOverlay ? MERGED : FOLDER),
      options: ['bind', 'nosuid', 'nodev', ...(workspace.mode === 'read-only' ? ['ro'] : [])],
    },
  };
}

function requireMounts({ mounts }: Host): void {
  if (mounts === 'by-root') return;
  throw new SandboxError('unsupported', 'This server cannot mount a workspace: it does not run as root.', {
    hint: 'Call sandbox_create without workspace, then sandbox_upload_file.',
  });
}

/** In the sandbox's own layer, with owners as in a new sandbox. */
async function makeMountPoint(paths: SandboxPaths, idMap: IdMap, path: string): Promise<void> {
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
    await chown(place, idMap.hostUid + idMap.uid, idMap.hostGid + idMap.gid);
  }
}

function folderOptions(idMap: IdMap, { stats }: HostDirectory, writable: boolean): string[] {
  const uids = swappedMap(stats.uid, idMap.uid, idMap.hostUid);
  const gids = swappedMap(stats.gid, idMap.gid, idMap.hostGid);
  return ['--workspace', uids, gids, String(idMap.hostUid), FOLDER, writable ? 'rw' : 'ro'];
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

/** Hides what the rules name. Returns whether anything is hidden. */
async function makeMask(
  host: Host,
  folder: HostDirectory,
  { hidden, mode }: WorkspaceRecord,
  mask: string,
  signal: AbortSignal,
): Promise<boolean> {
  const paths: string[] = [];
  for await (const path of hiddenPaths(folder, hiddenRules(hidden), signal)) paths.push(path);
  if (paths.length === 0) return false;
  if (mode === 'live') throw cannotHide(paths);
  const child = await whenSpawned(
    spawn(host.agent, ['whiteouts', mask], {
      stdio: ['pipe', 'ignore', 'pipe', folder.fd ?? 'ignore'],
      env: {},
    }),
  );
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(0, 1_000);
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(paths.map((path) => `${path}\0`).join(''));
  await once(child, 'close');
  if (child.exitCode === 0) return true;
  throw new Error(`hiding files of a workspace failed: ${errors}`);
}

function cannotHide(paths: string[]): SandboxError {
  return new SandboxError(
    'conflict',
    `A live workspace cannot hide files, and this folder has ${paths.length} that would be hidden.`,
    {
      hint: 'Use mode copy-on-write, or show them with lines such as `!.env` in .sandboxignore.',
      details: { hidden: paths.slice(0, 20) },
    },
  );
}
