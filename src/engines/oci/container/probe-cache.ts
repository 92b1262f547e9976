/**
 * Keeps what the probe of the OCI runtimes found: in the state directory, and for other state directories of
 * the same user in a directory that is gone when the machine restarts. Another probe is always correct, so a
 * result that cannot be read or written is only slower.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { findSharedDirectory } from '../../../shared/fs/private-path.ts';
import { makeDirectory } from '../../../shared/fs/state-directory.ts';
import { currentProcess } from '../../../shared/process-identity.ts';
import type { Host } from '../host/host.ts';
import { rightsOfProcess, runtimeDirectory } from '../host/probe/until-restart.ts';
import { separatesIds } from '../storage/sandbox-ids.ts';
import type { OciRuntime } from './oci-runtime.ts';

const cacheSchema = z.strictObject({
  key: z.string(),
  runtime: z.strictObject({
    name: z.string(),
    path: z.string(),
    version: z.string(),
    cgroups: z.enum(['cgroupfs', 'systemd', 'none']),
    hideUnified: z.boolean(),
    egress: z.boolean(),
    userLimits: z.boolean(),
  }),
});

/** What a result depends on, of what the engine knows about this host. */
export type ProbedHost = Pick<
  Host,
  'layout' | 'cgroupLayout' | 'agent' | 'mounts' | 'canSeparateIds' | 'alterBundle'
> & {
  readonly diskIds: Pick<Host['diskIds'], 'kind'>;
};

/** A file with one result, valid for one key. */
interface Place {
  readonly path: string;
  readonly key: string;
}

/**
 * Where a result is kept, the nearest place first.
 *
 * @param runtimes executables that the probe may try
 * @param directory for other state directories; null for none
 */
export async function probePlaces(
  host: ProbedHost,
  wanted: string,
  runtimes: readonly string[],
  directory: string | null = runtimeDirectory(),
): Promise<Place[]> {
  const stamps = await Promise.all(
    runtimes.map(async (path) => {
      const { size, mtimeMs } = await stat(path);
      return `${path}:${size}:${mtimeMs}`;
    }),
  );
  const ids = `${host.diskIds.kind}, ${separatesIds(host) ? 'a range each' : 'one range'}`;
  const common = [wanted, currentProcess().bootId, release(), ids, host.cgroupLayout, ...stamps];
  const own = { path: host.layout.probeCache, key: [...common, host.agent].join('|') };
  // Tests that alter the bundle find out something else.
  if (directory === null || host.alterBundle !== null) return [own];
  const { dev } = await stat(host.layout.stateDir);
  const key = [...common, basename(host.agent), host.mounts, dev, rightsOfProcess()].join('|');
  const name = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return [own, { path: join(directory, `runtime-${name}.json`), key }];
}

/**
 * The result of an earlier probe; null if there is none for these circumstances. One for other state
 * directories is then kept for this one too.
 */
export async function readProbe(places: readonly Place[]): Promise<OciRuntime | null> {
  for (const place of places) {
    const runtime = await readPlace(place);
    if (runtime === null) continue;
    if (place !== places[0]) await writeProbe(places, runtime, false);
    return runtime;
  }
  return null;
}

async function readPlace({ path, key }: Place): Promise<OciRuntime | null> {
  try {
    if (findSharedDirectory(dirname(path)) !== null) return null;
    const cache = cacheSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    return cache.key === key ? cache.runtime : null;
  } catch {
    // Missing, damaged or from another version.
    return null;
  }
}

/**
 * @param isBest false if another probe might find a better way: then only the state directory keeps it
 * @throws if the state directory cannot be written to
 */
export async function writeProbe(
  places: readonly Place[],
  runtime: OciRuntime,
  isBest: boolean,
): Promise<void> {
  const [own, ...shared] = places;
  if (own === undefined) return;
  await writeFileAtomic(own.path, JSON.stringify({ key: own.key, runtime }), 0o600, false);
  for (const { path, key } of isBest ? shared : []) {
    try {
      await makeDirectory(dirname(path), 0o700);
      if (findSharedDirectory(dirname(path)) !== null) continue;
      await writeFileAtomic(path, JSON.stringify({ key, runtime }), 0o600, false);
    } catch {
      // No session of the user's, or a read-only /run: the next state directory needs a probe of its own.
    }
  }
}
