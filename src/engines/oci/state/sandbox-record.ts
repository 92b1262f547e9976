import { chmod, mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { diskFullError } from '../../../shared/fs/disk-full.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import { fileStamp } from '../../../shared/fs/file-stamp.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import { unknownSandbox } from '../../../shared/id-errors.ts';
import { isSandboxId, isSnapshotId } from '../../../shared/ids.ts';
import { networkPolicyRecord } from '../../../shared/policy-schema.ts';
import { currentProcess } from '../../../shared/process-identity.ts';
import { type SandboxPaths, STATE_FORMAT, type StateLayout, sandboxPaths } from './state-layout.ts';
import { isVolumeId } from './volume-record.ts';

const identitySchema = z.strictObject({
  pid: z.number().int().positive(),
  startTime: z.string(),
  bootId: z.string(),
});

/** A snapshot's layer below a sandbox or a later snapshot, and the top-level directories it has files in. */
export const layerSchema = z.strictObject({
  snapshotId: z.string().refine(isSnapshotId),
  directories: z.array(z.string()),
});

/**
 * Mode and host owner of each top-level directory itself, which an overlay does not take from a lower layer.
 */
export const ownersSchema = z.record(
  z.string(),
  z.strictObject({ mode: z.number().int(), uid: z.number().int(), gid: z.number().int() }),
);

/** The snapshot layers below a sandbox's own files; empty for a sandbox not made from a snapshot. */
const baseLayersSchema = z.strictObject({
  /** Newest first. */
  layers: z.array(layerSchema),
  owners: ownersSchema,
});
export type BaseLayers = z.output<typeof baseLayersSchema>;

/** The folder of the host that a sandbox works on. */
const workspaceSchema = z.strictObject({
  localPath: z.string(),
  path: z.string(),
  mode: z.enum(['copy-on-write', 'read-only', 'live']),
  /** Rules of hidden files, in the syntax of gitignore. */
  hidden: z.string(),
  /** Device and inode of the folder. */
  folder: z.string(),
  /** The change time of a file made before the mount, in nanoseconds: later changes are not the sandbox's. */
  mountedNs: z.string(),
});
export type WorkspaceRecord = z.output<typeof workspaceSchema>;

/** The shell of the host, and of every image that has it. */
export const DEFAULT_SHELL = '/bin/bash';

/** The runtime of a trial sandbox. No name of an image begins with a dot, so no request can name it. */
export const PROBE_RUNTIME = '.probe';

/** The runtime of a sandbox that was booted ahead and belongs to nobody yet. */
export const STOCK_RUNTIME = '.stock';

/** Earlier versions recorded this for a trial sandbox; it is reserved among the names of images. */
const EARLIER_PROBE_RUNTIME = 'probe';

/** True for a sandbox that no create has asked for: only the process that made it knows it. */
export function isInternal({ runtime }: SandboxRecord): boolean {
  return [PROBE_RUNTIME, STOCK_RUNTIME, EARLIER_PROBE_RUNTIME].includes(runtime);
}

export const NO_BASE_LAYERS: BaseLayers = { layers: [], owners: {} };

/** A volume that the sandbox has mounted. */
const volumeMountSchema = z.strictObject({
  id: z.string().refine(isVolumeId),
  name: z.string(),
  path: z.string(),
  readOnly: z.boolean(),
});
export type MountedVolume = z.output<typeof volumeMountSchema>;

const recordSchema = z.strictObject({
  format: z.literal(STATE_FORMAT),
  sandboxId: z.string().refine(isSandboxId),
  status: z.enum(['pending', 'running', 'snapshotting', 'stopping', 'stopped', 'aborted', 'failed']),
  statusReason: z.string().nullable(),
  stopCause: z
    .enum(['requested', 'session_end', 'deadline', 'snapshot', 'aborted', 'out_of_memory'])
    .nullable(),
  runtime: z.string(),
  vcpus: z.number(),
  memoryMb: z.number(),
  /** Disk limit in MiB; null for no limit. */
  diskMb: z.number().nullable().default(null),
  createdAt: z.number(),
  timeoutMs: z.number(),
  expiresAt: z.number(),
  endedAt: z.number().nullable(),
  ports: z.array(z.number().int()),
  env: z.record(z.string(), z.string()),
  interactive: z.boolean().default(false),
  /** Header values as requested, with `${secret:NAME}` not filled in. */
  networkPolicy: networkPolicyRecord,
  /** The process that is creating or ending it; if that has died, another takes over. */
  worker: identitySchema.nullable(),
  /** The agent, as the host sees it. */
  init: identitySchema.nullable(),
  /** Directories of the sandbox's cgroups, one per hierarchy; empty if it has none. */
  cgroups: z.array(z.string()),
  /** The limits that are in force. */
  enforced: z.strictObject({ memory: z.boolean(), cpu: z.boolean(), pids: z.boolean() }),
  etcTemplate: z.string(),
  /** The base image; null: the host's files. */
  image: z.string().nullable().default(null),
  /** The default shell of a terminal. */
  shell: z.string().default(DEFAULT_SHELL),
  /** Path of its CA bundle inside; null for a sandbox without a CA. */
  caBundle: z.string().nullable().default(null),
  sourceSnapshotId: z.string().nullable().default(null),
  baseLayers: baseLayersSchema.default(NO_BASE_LAYERS),
  workspace: workspaceSchema.nullable().default(null),
  volumes: z.array(volumeMountSchema).default([]),
  /** The first host id of its own range; null: its processes have the disk ids. */
  idBase: z.number().int().positive().nullable().default(null),
  /** The snapshot in progress, from the moment it is decided. */
  snapshot: z
    .strictObject({ snapshotId: z.string().refine(isSnapshotId), expiresAt: z.number().nullable() })
    .nullable()
    .default(null),
});

/** Older records hold `baseLayers` as `ground`. */
const storedSchema = z.preprocess((stored) => {
  if (typeof stored !== 'object' || stored === null || !('ground' in stored)) return stored;
  const { ground, ...others } = stored;
  return { baseLayers: ground, ...others };
}, recordSchema);

/** What the engine keeps on disk about a sandbox. */
export type SandboxRecord = z.output<typeof recordSchema>;

/**
 * Writes a record atomically.
 *
 * @throws SandboxError `limit_exceeded` if the disk is full
 */
export async function writeRecord(paths: SandboxPaths, record: SandboxRecord): Promise<void> {
  try {
    await writeFileAtomic(paths.record, `${JSON.stringify(record, null, 1)}\n`, 0o600, false);
  } catch (error) {
    throw diskFullError(error);
  }
}

function unreadable(sandboxId: string, cause: unknown): SandboxError {
  return new SandboxError(
    'server',
    `The record of ${sandboxId} is damaged, unreadable or of another version.`,
    {
      hint: 'Other sandboxes are not affected: call sandbox_create for a new one. `sandbox-mcp clean` removes this one once its session has ended.',
      cause,
      details: { sandbox_id: sandboxId },
    },
  );
}

/** True for the error of a record that exists but cannot be used. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof SandboxError && error.code === 'server';
}

/** Records as last read. Writers replace the file, so changed content has another inode or mtime. */
const cache = new Map<string, { stamp: string; record: SandboxRecord }>();
const MAX_CACHED = 256;

function remember(path: string, stamp: string, record: SandboxRecord): void {
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(path, { stamp, record });
}

/**
 * Reads a record; one that has not changed since is not parsed again.
 * @throws `not_found` if there is none, `server` with the file's name if it is damaged; neither changes
 *   anything
 */
export async function readRecord(layout: StateLayout, sandboxId: string): Promise<SandboxRecord> {
  const path = layout.sandbox(sandboxId).record;
  const stamp = fileStamp(path);
  const cached = cache.get(path);
  if (cached !== undefined && cached.stamp === stamp) return cached.record;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw unreadable(sandboxId, error);
    cache.delete(path);
    throw unknownSandbox(sandboxId);
  }
  try {
    const record = storedSchema.parse(JSON.parse(text));
    if (stamp !== null) remember(path, stamp, record);
    return record;
  } catch (error) {
    throw unreadable(sandboxId, error);
  }
}

/**
 * Reads, changes and writes a record under its lock. `change` returns the new record, or null to leave it
 * unchanged. Returns the resulting record.
 */
export async function updateRecord(
  layout: StateLayout,
  sandboxId: string,
  change: (record: SandboxRecord) => SandboxRecord | null | Promise<SandboxRecord | null>,
): Promise<SandboxRecord> {
  const paths = layout.sandbox(sandboxId);
  // Read first, so that no lock file is created for a sandbox that does not exist.
  await readRecord(layout, sandboxId);
  return withFileLock(paths.lock, async () => {
    const record = await readRecord(layout, sandboxId);
    const changed = await change(record);
    if (changed !== null) await writeRecord(paths, changed);
    return changed ?? record;
  });
}

/**
 * `.new.<sandbox id>.<pid>.<start time>`: a sandbox's directory being created; its name identifies the
 * creating process.
 */
const UNFINISHED_NAME = /^\.new\.sbx_[2-9a-z]{12}\.(\d+)\.(\d*)$/;

/** Creates a sandbox's directory together with its record: neither exists without the other. */
export async function claimDirectory(
  layout: StateLayout,
  record: SandboxRecord,
  mode: number,
): Promise<SandboxPaths> {
  const { pid, startTime } = currentProcess();
  const pending = join(layout.sandboxes, `.new.${record.sandboxId}.${pid}.${startTime}`);
  const paths = layout.sandbox(record.sandboxId);
  await mkdir(pending, { mode: 0o700 });
  // mkdir applies the umask.
  await chmod(pending, mode);
  await writeRecord(sandboxPaths(pending), record);
  await rename(pending, paths.dir);
  return paths;
}

/** Directories that a process began to claim but did not finish, with that process. */
export async function listUnfinished(
  layout: StateLayout,
): Promise<{ path: string; pid: number; startTime: string }[]> {
  return (await readdir(layout.sandboxes)).flatMap((name) => {
    const match = UNFINISHED_NAME.exec(name);
    if (match === null) return [];
    return [{ path: join(layout.sandboxes, name), pid: Number(match[1]), startTime: match[2] ?? '' }];
  });
}

/** The ids of all sandboxes that have a directory, in no particular order. */
export async function listSandboxIds(layout: StateLayout): Promise<string[]> {
  return (await listDirectory(layout.sandboxes)).filter(isSandboxId);
}
