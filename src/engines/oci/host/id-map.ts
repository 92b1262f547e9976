import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';

export interface IdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

/**
 * A mapping between the ids in a sandbox and the host's. There are two for each: its disk ids own its files in
 * the state directory (`Host.diskIds`, the same for all sandboxes), its sandbox ids are those of its processes
 * (`sandboxIds`). Where the kernel can map one to the other, a root server's sandboxes have a range each.
 */
export interface IdMap {
  /**
   * `root`: a range of ids above those of users; `subordinate`: the user and their /etc/subuid range; `single`: the user's id
   * only.
   */
  kind: 'root' | 'subordinate' | 'single';
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
  /** Host ids of the sandbox's root. */
  hostUid: number;
  hostGid: number;
  /** The user that runs commands inside. */
  uid: number;
  gid: number;
}

/** Identifies the mapping in records: files written under one map have other owners under another. */
export function idsOf({ kind, hostUid, hostGid }: IdMap): string {
  return `${kind}:${hostUid}:${hostGid}`;
}

const RANGE = 65_536;
/**
 * Above the ranges that distributions assign in /etc/subuid (from 100,000) and systemd's container ranges (to
 * 1,879,048,191).
 */
const FIRST_BASE = 1_879_048_192;
/** systemd's foreign ids follow (from 2,147,352,576): the owners of the files of images that it keeps. */
const LAST_BASE = 2_147_287_040;

const SANDBOX_UID = 1000;

export interface SubordinateRange {
  owner: string;
  start: number;
  count: number;
}

/** Parses /etc/subuid or /etc/subgid (subuid(5)): `owner:start:count` a line. Malformed lines are skipped. */
export function parseSubordinateRanges(text: string): SubordinateRange[] {
  return text.split('\n').flatMap((line) => {
    const [owner, start, count] = line.trim().split(':');
    if (!owner || !/^\d+$/.test(start ?? '') || !/^\d+$/.test(count ?? '')) return [];
    return [{ owner, start: Number(start), count: Number(count) }];
  });
}

const RANGES = (LAST_BASE - FIRST_BASE) / RANGE + 1;

/**
 * A range of 65,536 ids from `FIRST_BASE` on that overlaps none of those that are taken. Different names hardly
 * ever lead to the same one, so that two state directories do not share what the kernel counts by id. Servers
 * that begin to use a directory at the same time choose alike.
 *
 * @param name the path of a state directory, or the id of a sandbox
 */
export function freeRangeBase(name: string, taken: readonly SubordinateRange[]): number {
  const base = findFreeRange(name, taken);
  if (base !== null) return base;
  throw new Error('/etc/subuid and /etc/subgid leave no free id range above 1,879,048,192');
}

function findFreeRange(name: string, taken: readonly SubordinateRange[]): number | null {
  const first = createHash('sha256').update(name).digest().readUInt32BE();
  for (let index = 0; index < RANGES; index++) {
    const base = FIRST_BASE + ((first + index) % RANGES) * RANGE;
    if (!taken.some((range) => range.start < base + RANGE && base < range.start + range.count)) return base;
  }
  return null;
}

/** The ranges that the host assigns to users. */
async function assignedRanges(): Promise<SubordinateRange[]> {
  return [...(await readRanges('/etc/subuid')), ...(await readRanges('/etc/subgid'))];
}

/**
 * A range for one sandbox of a root server.
 *
 * @param bases where the ranges begin that other sandboxes and the files on disk have
 * @returns its first id; null if none is left
 */
export async function chooseSandboxRange(
  sandboxId: string,
  bases: readonly number[],
): Promise<number | null> {
  const others = bases.map((start) => ({ owner: '', start, count: RANGE }));
  return findFreeRange(sandboxId, [...(await assignedRanges()), ...others]);
}

/** The same map with another range of the host. */
export function moveToRange(idMap: IdMap, base: number): IdMap {
  const mapping = [{ containerID: 0, hostID: base, size: RANGE }];
  return { ...idMap, uidMappings: mapping, gidMappings: mapping, hostUid: base, hostGid: base };
}

async function readRanges(file: string): Promise<SubordinateRange[]> {
  try {
    return parseSubordinateRanges(await readFile(file, 'utf8'));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Root: one range for this state directory, chosen once because files on disk have its ids. */
async function rootMap(uidRangeFile: string): Promise<IdMap> {
  let base: number;
  try {
    base = Number(JSON.parse(await readFile(uidRangeFile, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    base = freeRangeBase(await realpath(dirname(uidRangeFile)), await assignedRanges());
    await writeFileAtomic(uidRangeFile, `${base}\n`);
  }
  if (!Number.isSafeInteger(base) || base < RANGE) {
    throw new Error(`${uidRangeFile} contains no id range`);
  }
  const mapping = [{ containerID: 0, hostID: base, size: RANGE }];
  return {
    kind: 'root',
    uidMappings: mapping,
    gidMappings: mapping,
    hostUid: base,
    hostGid: base,
    uid: SANDBOX_UID,
    gid: SANDBOX_UID,
  };
}

function isInPath(program: string): boolean {
  return ['/usr/bin', '/bin', '/usr/local/bin', '/usr/sbin'].some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The name of the user that runs this process, or null if /etc/passwd has no line for it. */
export function userName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

/**
 * Ordinary user: the subordinate range if newuidmap and a line of at least 2,000 ids exist, else the user's
 * id only. newuidmap refuses a user without a name.
 */
async function userMap(uid: number, gid: number): Promise<IdMap> {
  const name = userName();
  const find = (ranges: SubordinateRange[]) =>
    ranges.find((range) => (range.owner === name || range.owner === String(uid)) && range.count >= 2_000);
  const subuid = find(await readRanges('/etc/subuid'));
  const subgid = find(await readRanges('/etc/subgid'));
  const own = { uidMappings: [{ containerID: 0, hostID: uid, size: 1 }], hostUid: uid, hostGid: gid };
  const ownGroup = [{ containerID: 0, hostID: gid, size: 1 }];
  if (name === null || !subuid || !subgid || !isInPath('newuidmap') || !isInPath('newgidmap')) {
    return { kind: 'single', ...own, gidMappings: ownGroup, uid: 0, gid: 0 };
  }
  const rest = (range: SubordinateRange) => ({
    containerID: 1,
    hostID: range.start,
    size: Math.min(range.count, RANGE - 1),
  });
  return {
    kind: 'subordinate',
    ...own,
    uidMappings: [...own.uidMappings, rest(subuid)],
    gidMappings: [...ownGroup, rest(subgid)],
    uid: SANDBOX_UID,
    gid: SANDBOX_UID,
  };
}

/** Chooses the id mapping for the user that runs this process. */
export async function chooseIdMap(uidRangeFile: string): Promise<IdMap> {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  return uid === 0 ? rootMap(uidRangeFile) : userMap(uid, gid);
}
