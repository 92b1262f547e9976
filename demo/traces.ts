/**
 * What a sandbox has on the host, found by searching for its id everywhere rather than by asking the server.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { identify, isProcessAlive, type ProcessIdentity } from '../src/shared/process-identity.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';
const CGROUP_DEPTH = 6;

export interface Traces {
  processes: ProcessIdentity[];
  /** A mount counts once for each mount namespace that contains it. */
  mounts: string[];
  cgroups: string[];
  /** Ports of the host that accept connections. */
  ports: number[];
  /** Directories and files of the sandbox's file system, its bundle, its runtime state and its socket. */
  layers: string[];
}

export interface Subject {
  sandboxId: string;
  stateDir: string;
  hostPorts: number[];
}

/**
 * All traces of this sandbox that exist now; `known` are processes that belonged to it before, whatever their
 * parent is now.
 */
export async function tracesOf(subject: Subject, known: readonly ProcessIdentity[] = []): Promise<Traces> {
  const home = join(subject.stateDir, 'sandboxes', subject.sandboxId);
  const open = await Promise.all(subject.hostPorts.map(takesConnections));
  return {
    processes: processesOf(subject.sandboxId, join(home, 'bundle/pid'), known),
    mounts: mountsOf(subject.sandboxId),
    cgroups: cgroupsOf(subject.sandboxId),
    ports: subject.hostPorts.filter((_, index) => open[index]),
    layers: [
      ...entriesOf(join(home, 'layers')).map((name) => join(home, 'layers', name)),
      ...['bundle', 'runtime', 'agent/socket'].map((name) => join(home, name)).filter(exists),
    ],
  };
}

/** What is kept of an ended sandbox on purpose: its record and the logs of its commands. */
export function keptFiles(subject: Subject): { files: number; bytes: number } {
  const kept = { files: 0, bytes: 0 };
  const walk = (path: string): void => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) for (const name of entriesOf(path)) walk(join(path, name));
    else if (stat?.isFile()) {
      kept.files += 1;
      kept.bytes += stat.size;
    }
  };
  walk(join(subject.stateDir, 'sandboxes', subject.sandboxId));
  walk(join(subject.stateDir, 'records', `${subject.sandboxId}.json`));
  return kept;
}

/**
 * Processes whose cgroups or mounts name the sandbox, the first process of the container, and all their
 * descendants.
 */
function processesOf(id: string, pidFile: string, known: readonly ProcessIdentity[]): ProcessIdentity[] {
  const pids = numbersOf('/proc');
  const parents = new Map(pids.map((pid) => [pid, parentOf(pid)]));
  const first = Number(textOf(pidFile));
  const descends = (pid: number): boolean => {
    for (let at = pid; at > 1; at = parents.get(at) ?? 0) if (at === first) return true;
    return false;
  };
  const named = (pid: number): boolean =>
    ['cgroup', 'mountinfo'].some((file) => textOf(`/proc/${pid}/${file}`).includes(id));
  const found = pids.filter((pid) => pid !== process.pid && (descends(pid) || named(pid)));
  const identities = found.flatMap((pid) => identify(pid) ?? []);
  const others = known.filter(({ pid }) => !found.includes(pid));
  return [...identities, ...others.filter(isProcessAlive)];
}

function mountsOf(id: string): string[] {
  const seen = new Set<string>();
  const mounts: string[] = [];
  for (const pid of numbersOf('/proc')) {
    const namespace = linkOf(`/proc/${pid}/ns/mnt`);
    if (namespace === '' || seen.has(namespace)) continue;
    seen.add(namespace);
    const lines = textOf(`/proc/${pid}/mountinfo`).split('\n');
    mounts.push(...lines.filter((line) => line.includes(id)));
  }
  return mounts;
}

function cgroupsOf(id: string): string[] {
  const found: string[] = [];
  const walk = (directory: string, depth: number): void => {
    for (const name of entriesOf(directory)) {
      const path = join(directory, name);
      if (name.includes(id)) found.push(path);
      else if (depth > 0 && !name.includes('.')) walk(path, depth - 1);
      else if (depth > 0 && /\.(slice|service|scope)$/.test(name)) walk(path, depth - 1);
    }
  };
  walk(CGROUP_ROOT, CGROUP_DEPTH);
  return found;
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function parentOf(pid: number): number {
  const stat = textOf(`/proc/${pid}/stat`);
  // The program's name before it is in parentheses and may contain anything.
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function numbersOf(directory: string): number[] {
  return entriesOf(directory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Processes and cgroups come and go, and some cannot be inspected: what cannot be read is skipped. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
