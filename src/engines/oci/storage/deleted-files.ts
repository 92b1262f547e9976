/**
 * Disk use of deleted files that programs of a sandbox hold open or mapped. They have no name any more, so
 * that no walk of directories finds them, and they take their space until the last descriptor is closed.
 */
import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import type { DiskUse } from './disk-watch.ts';

/** File systems in memory, which the memory limit bounds (statfs(2)). */
const IN_MEMORY: readonly number[] = [0x01021994, 0x958458f6];
const BLOCK_BYTES = 512;

/** Counts them in the process `init` and its descendants. Rejects when the signal fires. */
export async function countDeletedFiles(init: number, signal: AbortSignal): Promise<DiskUse> {
  const sizes = new Map<string, number>();
  for (const waiting = [init], seen = new Set(waiting); ; ) {
    const pid = waiting.pop();
    if (pid === undefined) break;
    signal.throwIfAborted();
    for (const child of await childrenOf(pid)) {
      if (!seen.has(child)) waiting.push(child);
      seen.add(child);
    }
    for (const path of [...(await descriptorsOf(pid)), ...(await deletedMappingsOf(pid))]) {
      signal.throwIfAborted();
      await addIfDeleted(path, sizes);
    }
  }
  return { bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0), files: sizes.size };
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
