/** What the engine has to know of this host before the first sandbox; found out once. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ImageStore } from '../../../images/image-store.ts';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { temporaryName, writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { makeDirectory, stateDirectoryError } from '../../../shared/fs/state-directory.ts';
import { STATE_FORMAT, StateLayout } from '../state/state-layout.ts';
import { findSystemCaBundle, type SystemCaBundle } from './ca-trust.ts';
import { type CgroupLayout, canLimitSwap, cgroupLayout } from './cgroups.ts';
import { ensureEtcTemplate } from './etc-template.ts';
import { chooseIdMap, type IdMap } from './id-map.ts';
import { openImageStore } from './image-store-setup.ts';
import { type MountsBy, probeMounts } from './overlay-probe.ts';
import { findSystemDirectories, type SystemDirectories } from './system-directories.ts';

export interface Host {
  layout: StateLayout;
  idMap: IdMap;
  /** Executable of the agent, in the state directory, where the OCI runtime can reach it. */
  agent: string;
  system: SystemDirectories;
  mounts: MountsBy;
  etcTemplate: string;
  images: ImageStore;
  caBundle: SystemCaBundle;
  cgroupLayout: CgroupLayout;
  swapLimit: boolean;
  cpus: number;
  maxOpenFiles: number;
  arch: string;
  /** For tests, which take single walls away to show what each is good for; null otherwise. */
  alterBundle: AlterBundle | null;
}

/** Answers the `config.json` to use in place of this one. */
export type AlterBundle = (config: object) => object;

const MAX_OPEN_FILES = 65_536;

/** Refused where it would break a mount option: overlay separates its options by these. */
function checkStateDir(stateDir: string): void {
  const bad = /[,:\\\s]/.exec(stateDir);
  if (bad) {
    throw new SandboxError('unavailable', `The state directory's path holds ${JSON.stringify(bad[0])}.`, {
      hint: 'Start the server with --state-dir naming a path without commas, colons, backslashes and blanks.',
    });
  }
}

async function checkFormat(layout: StateLayout): Promise<void> {
  try {
    const found = (await readFile(layout.formatFile, 'utf8')).trim();
    if (found === String(STATE_FORMAT)) return;
    throw new SandboxError(
      'unavailable',
      `The state directory has format "${found.slice(0, 20)}", not ${STATE_FORMAT}.`,
      {
        hint: 'Use the version of sandbox-mcp that made it, or name another --state-dir.',
      },
    );
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    await writeFileAtomic(layout.formatFile, `${STATE_FORMAT}\n`);
  }
}

async function makeStateDirectories(layout: StateLayout, kind: IdMap['kind'] | null): Promise<void> {
  // As root the sandbox's root has to pass on its way to the layers; it can list nothing.
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
    // Not left to mkdir, whose mode the umask cuts.
    await chmod(directory, mode);
  }
  await makeDirectory(layout.trash, 0o700);
}

/** Copies the agent to where the mapped root can read it; the name tells its content, so versions live side by side. */
async function installAgent(layout: StateLayout, source: string): Promise<string> {
  let content: Buffer;
  try {
    content = await readFile(source);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new SandboxError('unavailable', `The agent for ${process.arch} is not built.`, {
      hint: 'Run `npm run build` (it needs a C compiler), or install the published package, which brings it.',
    });
  }
  const target = join(
    layout.binaries,
    `agent-${createHash('sha256').update(content).digest('hex').slice(0, 12)}`,
  );
  try {
    if ((await stat(target)).size === content.length) return target;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  const temporary = temporaryName(target);
  await writeFile(temporary, content, { mode: 0o755 });
  await chmod(temporary, 0o755);
  await rename(temporary, target);
  return target;
}

/** The hard limit of open files (proc(5), `limits`), at most 65,536. */
function maxOpenFiles(): number {
  const match = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
  return match ? Math.min(Number(match[1]), MAX_OPEN_FILES) : 1_024;
}

/** Puts into the state directory what every sandbox of it shares. */
async function populateStateDir(
  layout: StateLayout,
  agentSource: string,
): Promise<Pick<Host, 'idMap' | 'agent' | 'etcTemplate'>> {
  try {
    await makeStateDirectories(layout, process.getuid?.() === 0 ? 'root' : null);
    await checkFormat(layout);
    const idMap = await chooseIdMap(layout.uidRangeFile);
    const [agent, etcTemplate] = await Promise.all([
      installAgent(layout, agentSource),
      ensureEtcTemplate(layout.etcTemplates, idMap.hostUid, idMap.hostGid),
    ]);
    return { idMap, agent, etcTemplate };
  } catch (error) {
    throw stateDirectoryError(error, layout.stateDir);
  }
}

/**
 * Prepares the state directory and finds out what this host is.
 * @throws `unavailable`, with the way on, where local sandboxes cannot be
 */
export async function prepareHost(
  stateDir: string,
  agentSource: string,
  alterBundle: AlterBundle | null = null,
): Promise<Host> {
  if (process.platform !== 'linux') {
    throw new SandboxError('unavailable', `The oci engine needs Linux; this is ${process.platform}.`, {
      hint: 'Choose another engine with --engine; `sandbox-mcp doctor` shows which ones work here.',
    });
  }
  checkStateDir(stateDir);
  const layout = new StateLayout(stateDir);
  const { idMap, agent, etcTemplate } = await populateStateDir(layout, agentSource);
  const [system, trust, cgroups] = await Promise.all([
    findSystemDirectories(),
    findSystemCaBundle(),
    cgroupLayout(),
  ]);
  return {
    layout,
    idMap,
    agent,
    system,
    mounts: await probeMounts(layout, agent, idMap, system.directories),
    etcTemplate,
    images: openImageStore(layout, agent, idMap, process.arch),
    caBundle: trust,
    cgroupLayout: cgroups,
    swapLimit: await canLimitSwap(cgroups),
    cpus: availableParallelism(),
    maxOpenFiles: maxOpenFiles(),
    arch: process.arch,
    alterBundle,
  };
}
