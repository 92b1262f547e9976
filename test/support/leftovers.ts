/** Finds what a test run has left on this machine, as opposed to everything else that runs here. */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const CGROUP_ROOT = '/sys/fs/cgroup';
const CGROUP_NAME = /^sandbox-mcp[.-]/;
/** Other programs keep their caches in the temporary folder. */
const NOT_OURS = [/^tsx-/, /^node-compile-cache$/, /^v8-compile-cache/];

/**
 * A sentence about each leftover process, mount, folder and cgroup; `scratch` is the run's temporary folder.
 */
export function leftovers(
  scratch: string,
  cgroupsBefore: ReadonlySet<string>,
  cgroupRoot = CGROUP_ROOT,
): string[] {
  if (process.platform !== 'linux') return foldersIn(scratch);
  const cgroups = sandboxCgroups(cgroupRoot).filter((path) => !cgroupsBefore.has(path) && isEmpty(path));
  return [
    ...processesOf(scratch),
    ...mountsBelow(scratch),
    ...cgroups.map((path) => `cgroup ${path}`),
    ...foldersIn(scratch),
  ];
}

/** The cgroups of all sandboxes on this machine. */
export function sandboxCgroups(root = CGROUP_ROOT): string[] {
  const found: string[] = [];
  const walk = (directory: string, depth: number): void => {
    for (const entry of entriesOf(directory)) {
      const path = join(directory, entry);
      if (CGROUP_NAME.test(entry)) found.push(path);
      else if (depth > 0) walk(path, depth - 1);
    }
  };
  walk(root, 5);
  return found;
}

/**
 * A populated one belongs to a running sandbox: ours shows up as a process, and others do not concern this
 * run.
 */
function isEmpty(cgroup: string): boolean {
  return (textOf(join(cgroup, 'cgroup.procs')) ?? '').trim() === '';
}

/**
 * Programs started by a test work below the folder, name it, or have it mounted; the runner's own workers do
 * not.
 */
function processesOf(scratch: string): string[] {
  const inside = `${scratch}/`;
  return entriesOf('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      const words = ['environ', 'cmdline', 'mountinfo'].map((name) => textOf(`/proc/${pid}/${name}`) ?? '');
      return words.some((text) => text.includes(inside)) || workingDirectory(pid).startsWith(inside);
    })
    .map(
      (pid) =>
        `process ${pid}: ${(textOf(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').slice(0, 200)}`,
    );
}

function workingDirectory(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function mountsBelow(scratch: string): string[] {
  return (textOf('/proc/self/mountinfo') ?? '')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${scratch}/`))
    .map((point) => `mount ${point}`);
}

function foldersIn(scratch: string): string[] {
  return entriesOf(realpathSync(scratch))
    .filter((name) => !NOT_OURS.some((pattern) => pattern.test(name)))
    .map((name) => `temporary file ${join(scratch, name)}`);
}

/**
 * Waits until no `clean` of this folder runs, at most 5 minutes: a server may have started one that outlives
 * it. Other servers may go on using the folder.
 */
export async function waitForCleanUps(folder: string): Promise<void> {
  const deadline = performance.now() + 300_000;
  while (performance.now() < deadline && entriesOf('/proc').some((pid) => isCleanUp(pid, folder)))
    await delay(50);
}

function isCleanUp(pid: string, folder: string): boolean {
  const commandLine = /^\d+$/.test(pid) ? (textOf(`/proc/${pid}/cmdline`) ?? '') : '';
  return commandLine.includes(folder) && commandLine.split('\0').includes('clean');
}

/** Empty if it cannot be read: a process or cgroup that disappeared meanwhile is not a leftover. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
