/**
 * Disk use of deleted files that programs of a sandbox hold open or mapped. They have no name any more, so
 * that no walk of directories finds them, and they take their space until the last descriptor is closed.
 */
import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import type { Host } from '../host/host.ts';
import { runAgentVerb } from '../host/userns-program.ts';
import type { DiskUse } from './disk-watch.ts';

/** File systems in memory, which the memory limit bounds (statfs(2)). */
const IN_MEMORY: readonly number[] = [0x01021994, 0x958458f6];
const BLOCK_BYTES = 512;
/** As many as an argument list surely takes; a sandbox may hardly have more. */
const MAX_PROCESSES = 16_384;

/**
 * Counts them in the process `init`, the first of a sandbox, and its descendants. Rejects when the signal
 * fires. An ordinary user may look into processes with subordinate ids only from their user namespace, and
 * then does not see files that are only mapped.
 */
export async function countDeletedOf(host: Host, init: number, signal: AbortSignal): Promise<DiskUse> {
  if (host.diskIds.kind !== 'subordinate') return countDeletedFiles(init, signal);
  const pids: string[] = [];
  for await (const pid of descendants(init, signal)) pids.push(String(pid));
  const args = [String(init), ...pids.slice(0, MAX_PROCESSES)];
  const { stdout, output } = await runAgentVerb(host.agent, 'deleted-files', args, signal);
  const [, bytes, files] = /^(\d+) (\d+)$/m.exec(stdout) ?? [];
  if (bytes !== undefined && files !== undefined) return { bytes: Number(bytes), files: Number(files) };
  // The sandbox may have ended meanwhile.
  if ((await namesIn(`/proc/${init}`)).length === 0) return { bytes: 0, files: 0 };
  throw new Error(`deleted files could not be counted: ${output.slice(0, 200)}`);
}

/** Counts them as a user who may look into these processes. */
export async function countDeletedFiles(init: number, signal: AbortSignal): Promise<DiskUse> {
  const sizes = new Map<string, number>();
  for await (const pid of descendants(init, signal)) {
    for (const path of [...(await descriptorsOf(pid)), ...(await deletedMappingsOf(pid))]) {
      signal.throwIfAborted();
      await addIfDeleted(path, sizes);
    }
  }
  return { bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0), files: sizes.size };
}

/** A process and all that come from it. */
async function* descendants(init: number, signal: AbortSignal): AsyncGenerator<number> {
  for (const waiting = [init], seen = new Set(waiting); ; ) {
    const pid = waiting.pop();
    if (pid === undefined) return;
    signal.throwIfAborted();
    for (const child of await childrenOf(pid)) {
      if (!seen.has(child)) waiting.push(child);
      seen.add(child);
    }
    yield pid;
  }
}

/** Each thread has children of its own (proc(5)). */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await namesIn(`/proc/${pid}/task`);
  const lists = await Promise.all(threads.map((tid) => textOf(`/proc/${pid}/task/${tid}/children`)));
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

async function descriptorsOf(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  return (await namesIn(directory)).map((name) => `${directory}/${name}`);
}

/** A mapping keeps its file after the descriptor was closed. Only root may follow these links. */
async function deletedMappingsOf(pid: number): Promise<string[]> {
  const lines = (await textOf(`/proc/${pid}/maps`)).split('\n');
  return lines
    .filter((line) => line.endsWith(' (deleted)'))
    .map((line) => `/proc/${pid}/map_files/${withoutZeros(line.slice(0, line.indexOf(' ')))}`);
}

/** `maps` pads addresses, `map_files` does not. */
function withoutZeros(range: string): string {
  return range
    .split('-')
    .map((address) => address.replace(/^0+/, ''))
    .join('-');
}

/** Follows no name that the sandbox chose: the links of /proc lead to the open file itself. */
async function addIfDeleted(path: string, sizes: Map<string, number>): Promise<void> {
  try {
    const file = await stat(path);
    if (file.nlink !== 0 || !file.isFile()) return;
    if (IN_MEMORY.includes((await statfs(path)).type)) return;
    sizes.set(`${file.dev}:${file.ino}`, file.blocks * BLOCK_BYTES);
  } catch {
    // Closed meanwhile, or a process that this user may not look into: the agent.
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch {
    return [];
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return '';
  }
}
