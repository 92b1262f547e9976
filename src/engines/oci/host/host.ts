/** What the engine needs to know about this host before the first sandbox; determined once. */
import { readFileSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { ImageStore } from '../../../images/image-store.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { requirePrivatePath } from '../../../shared/fs/private-path.ts';
import { makeDirectory, stateDirectoryError } from '../../../shared/fs/state-directory.ts';
import { STATE_FORMAT, StateLayout } from '../state/state-layout.ts';
import { installAgent } from './agent-program.ts';
import { findSystemCaBundle, type SystemCaBundle } from './ca/ca-trust.ts';
import { type CgroupLayout, canLimitSwap, cgroupLayout } from './cgroups.ts';
import { ensureEtcTemplate } from './etc-template.ts';
import { chooseIdMap, type IdMap } from './id-map.ts';
import { openImageStore } from './image-store-setup.ts';
import { type CanMapIds, type MountsBy, probeIdMaps, probeMounts } from './probe/overlay-probe.ts';
import { DPKG_DATABASE, findSystemDirectories, type SystemDirectories } from './system-directories.ts';

export interface Host {
  layout: StateLayout;
  /** The owners of sandboxes' files in the state directory. Those of their processes: `sandboxIds`. */
  diskIds: IdMap;
  /** The agent's executable, in the state directory, where the OCI runtime can reach it. */
  agent: string;
  system: SystemDirectories;
  mounts: MountsBy;
  /** Whether root's mounts can map the disk ids, so that each sandbox has ids of its own. */
  canSeparateIds: boolean;
  /** Meaningful where root mounts. */
  canMapIds: CanMapIds;
  etcTemplate: string;
  images: ImageStore;
  caBundle: SystemCaBundle;
  cgroupLayout: CgroupLayout;
  swapLimit: boolean;
  cpus: number;
  maxOpenFiles: number;
  arch: string;
  /** For tests, which remove one isolation layer to show what it prevents; null otherwise. */
  alterBundle: AlterBundle | null;
}

/** Returns the `config.json` to use in place of this one. */
export type AlterBundle = (config: object) => object;

const MAX_OPEN_FILES = 65_536;

/** Refuses characters that overlay uses as separators in its mount options. */
function checkStateDir(stateDir: string): void {
  const bad = /[,:\\\s]/.exec(stateDir);
  if (bad) {
    throw new SandboxError(
      'unavailable',
      `The state directory's path contains ${JSON.stringify(bad[0])}: ${stateDir}`,
      {
        hint: 'Start the server with a --state-dir whose path has no comma, colon, backslash or whitespace.',
      },
    );
  }
}

async function checkFormat(layout: StateLayout): Promise<void> {
  try {
    const found = (await readFile(layout.formatFile, 'utf8')).trim();
    if (found === String(STATE_FORMAT)) return;
    throw new SandboxError(
      'unavailable',
      `The state directory has format "${found.slice(0, 20)}"; this version supports ${STATE_FORMAT}.`,
      {
        hint: 'Use the version of sandbox-mcp that created it, or choose another --state-dir.',
      },
    );
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    await writeFileAtomic(layout.formatFile, `${STATE_FORMAT}\n`);
  }
}

async function makeStateDirectories(layout: StateLayout, kind: IdMap['kind'] | null): Promise<void> {
  // With a root server, the sandbox's root must traverse these to reach the layers, but not list them.
  const mode = kind === 'root' ? 0o711 : 0o700;
  for (const directory of [
    layout.stateDir,
    layout.sandboxes,
    layout.snapshots,
    layout.binaries,
    layout.etcTemplates,
    layout.images,
  ]) {
    await makeDirectory(directory, mode);
    requirePrivatePath(directory);
    // mkdir applies the umask.
    await chmod(directory, mode);
  }
  await makeDirectory(layout.trash, 0o700);
}

/** The hard limit of open files (proc(5), `limits`), capped at 65,536. */
function maxOpenFiles(): number {
  const match = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return match ? Math.min(Number(match[1]), MAX_OPEN_FILES) : 1_024;
}

/** Creates what all sandboxes of the state directory share. */
async function populateStateDir(
  layout: StateLayout,
  agentSource: string,
): Promise<Pick<Host, 'diskIds' | 'agent' | 'etcTemplate'>> {
  try {
    await makeStateDirectories(layout, process.getuid?.() === 0 ? 'root' : null);
    await checkFormat(layout);
    const diskIds = await chooseIdMap(layout.uidRangeFile);
    const [agent, etcTemplate] = await Promise.all([
      installAgent(layout, agentSource),
      ensureEtcTemplate(layout.etcTemplates, diskIds.hostUid, diskIds.hostGid),
    ]);
    return { diskIds, agent, etcTemplate };
  } catch (error) {
    throw stateDirectoryError(error, layout.stateDir);
  }
}

/**
 * Prepares the state directory and probes the host.
 * @throws `unavailable` if this machine cannot run sandboxes
 */
export async function prepareHost(
  stateDir: string,
  agentSource: string,
  alterBundle: AlterBundle | null = null,
): Promise<Host> {
  if (process.platform !== 'linux') {
    throw new SandboxError('unavailable', `The oci engine needs Linux; this is ${process.platform}.`, {
      hint: 'Choose another engine with --engine; `sandbox-mcp doctor` shows which ones work.',
    });
  }
  checkStateDir(stateDir);
  const layout = new StateLayout(stateDir);
  const { diskIds, agent, etcTemplate } = await populateStateDir(layout, agentSource);
  const [system, trust, cgroups] = await Promise.all([
    findSystemDirectories(),
    findSystemCaBundle(),
    cgroupLayout(),
  ]);
  const hostDirectories = [...system.directories, ...(system.dpkg ? [DPKG_DATABASE] : [])];
  const { mounts, canSeparateIds } = await probeMounts(layout, agent, diskIds, hostDirectories);
  return {
    layout,
    diskIds,
    agent,
    system,
    mounts,
    // These mounts have no ids for a bundle without a user namespace.
    canSeparateIds: canSeparateIds && alterBundle === null,
    canMapIds: await probeIdMaps(layout, agent, diskIds),
    etcTemplate,
    images: openImageStore(layout, agent, diskIds, process.arch),
    caBundle: trust,
    cgroupLayout: cgroups,
    swapLimit: await canLimitSwap(cgroups),
    cpus: availableParallelism(),
    maxOpenFiles: maxOpenFiles(),
    arch: process.arch,
    alterBundle,
  };
}
