/** The user namespace of a sandbox, where root makes it before the runtime starts. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { IdMap } from '../host/id-map.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

/** Ids below it may be users of sandboxes that the kernel counts by their id on the host. */
const FIRST_OWNER = 2_000;

export interface UserNamespace {
  /** Options of the agent's `launch` that make it. */
  options: string[];
  /** Where the runtime finds it; null if the runtime makes its own. */
  path: string | null;
}

/**
 * Prepares the namespace that root's launcher makes; an ordinary user's runtime makes it. The kernel counts
 * what the users of a namespace use against its owner as well. Each sandbox gets an owner that is nobody
 * else: an id of its range, chosen by the sandbox's id since some have the range of others. runc 1.1 cannot join such a
 * namespace; the launcher then needs it for its mounts alone.
 */
export async function prepareUserNamespace(
  sandboxIds: IdMap,
  runtimeName: string,
  paths: SandboxPaths,
  sandboxId: string,
): Promise<UserNamespace> {
  const [ids] = sandboxIds.uidMappings;
  if (sandboxIds.kind !== 'root' || ids === undefined) return { options: [], path: null };
  const random = createHash('sha256').update(sandboxId).digest().readUInt32BE();
  const owner = ids.hostID + FIRST_OWNER + (random % (ids.size - FIRST_OWNER));
  const options = ['--ids', String(ids.hostID), String(ids.size), String(owner)];
  if (runtimeName !== 'crun') return { options, path: null };
  await writeFile(paths.userns, '', { mode: 0o600 });
  return { options: [...options, '--userns', paths.userns], path: paths.userns };
}
