import { traced } from '../../shared/async/traced.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { diskIsFull, isDiskFullInProgram } from '../../shared/fs/disk-full.ts';
import type { HostDirectory } from '../../shared/fs/host-directory.ts';
import type { CreateSandbox, Sandbox } from '../engine.ts';
import { describeFolder, openWorkspaceFolder } from '../workspace/folder.ts';
import { removeSandbox } from './cleanup/cleanup.ts';
import { boot } from './container/boot.ts';
import { newRecord, type RecordInput } from './container/new-record.ts';
import type { OciRuntime } from './container/oci-runtime.ts';
import type { OciContext } from './context.ts';
import { MEMORY_MB_PER_VCPU } from './engine-limits.ts';
import { defaultPath } from './exec/exec-request.ts';
import { IMAGE_BUNDLE } from './host/ca/ca-trust.ts';
import type { Host } from './host/host.ts';
import { type ResolvedRuntime, resolveRuntime } from './images/runtimes.ts';
import { checkPolicy } from './network/check-policy.ts';
import { diskLimitMb } from './sandbox/disk-limit.ts';
import { viewOf } from './sandbox/sandbox-view.ts';
import { concurrentEnd, endedDuringCreate, populatedRecord, runningRecord } from './source/pending-record.ts';
import { checkSource, fetchedSource } from './source/populate.ts';
import { DEFAULT_SHELL, type SandboxRecord, writeRecord } from './state/sandbox-record.ts';
import type { SnapshotRecord } from './state/snapshot-record.ts';
import { type LateSettings, takeFromStock } from './stock/take-from-stock.ts';
import { findBase } from './storage/base-layers.ts';
import { claimWithLayers, sourceSnapshot } from './storage/snapshot-restore.ts';
import { checkMountPath } from './storage/volume-mounts.ts';
import { claimVolumes, mountedVolumes } from './volumes/claim-volumes.ts';
import { whyNotMounted } from './workspace/mount.ts';
import { checkVolumesBelow } from './workspace/volumes-below.ts';

function checkRequest(context: OciContext, request: CreateSandbox): void {
  // Secrets are filled in when a program starts; report a missing one now.
  context.secrets.fillEnvironment(request.env);
}

/** A snapshot keeps the image it was taken on, even if its runtime name now means something else. */
async function resolveBaseImage(
  context: OciContext,
  snapshot: SnapshotRecord | null,
  wanted: string | null,
  signal: AbortSignal,
  report?: (line: string) => void,
): Promise<ResolvedRuntime> {
  if (snapshot === null || snapshot.image === null) {
    return resolveRuntime(context, snapshot?.runtime ?? wanted, signal, report);
  }
  const { images } = await context.host();
  const image = await images.find(snapshot.image);
  if (image === null) throw await images.notFound(snapshot.image);
  return { name: snapshot.runtime, image };
}

/** The runtime's own message stays in the log: it may contain host paths. */
function bootFailure(error: unknown): unknown {
  if (error instanceof SandboxError) return error;
  if (isDiskFullInProgram(error)) return diskIsFull(error);
  return new SandboxError('unavailable', 'The sandbox could not be started.', {
    hint: 'Run `sandbox-mcp doctor` on this machine; the server log has the runtime’s error message.',
    cause: error,
  });
}

/** Creates a sandbox. Leaves nothing behind on failure or abort. */
export async function createSandbox(
  context: OciContext,
  request: CreateSandbox,
  signal: AbortSignal,
  report?: (line: string) => void,
): Promise<Sandbox> {
  checkRequest(context, request);
  const source = fetchedSource(request);
  const host = await traced('engine', 'host', () => context.host());
  const snapshot =
    request.source?.type === 'snapshot'
      ? await sourceSnapshot(host, request.source.snapshotId, request.runtime)
      : null;
  const runtime = await traced('engine', 'runtime', () => context.runtime(signal));
  checkPolicy(context, runtime, request.networkPolicy);
  if (source !== null) checkSource(context, runtime, source, request.networkPolicy);
  // Last, because it may download a runtime.
  const { name, image } = await resolveBaseImage(context, snapshot, request.runtime, signal, report);
  throwIfCancelled(signal);
  const diskMb = await diskLimitMb(host, context.diskMb);
  const taken = await tryStock(context, host, request, { runtime: name, diskMb }, signal);
  if (taken !== null) return taken;
  const folder = request.workspace === undefined ? null : await openWorkspaceFolder(request.workspace);
  try {
    if (folder !== null) await requireMounts(host, folder);
    if (request.workspace !== undefined && folder !== null)
      await checkVolumesBelow(request.workspace, folder, request.volumeMounts ?? []);
    const workspace =
      request.workspace === undefined || folder === null
        ? null
        : { ...(await describeFolder(request.workspace, folder, host.layout.stateDir)), mountedNs: '0' };
    const settings = { ...settingsOf(request, image, snapshot), runtime: name, diskMb, workspace };
    const made: Making = { host, runtime, record: newRecord(host, settings), folder, source };
    return await makeSandbox(context, request, made, signal, report);
  } finally {
    await folder?.close();
  }
}

async function requireMounts(host: Host, folder: HostDirectory): Promise<void> {
  const reason = await whyNotMounted(host, folder);
  if (reason === null) return;
  throw new SandboxError('unsupported', `${folder.path} cannot be mounted in a sandbox: ${reason}.`, {
    hint: 'Call sandbox_create without workspace, then sandbox_upload_file.',
    details: { local_path: folder.path },
  });
}

/**
 * Takes the sandbox over if the id is one of the stock. Null if it has to be booted, also because the one of
 * the stock has ended.
 */
async function tryStock(
  context: OciContext,
  host: Host,
  request: CreateSandbox,
  late: LateSettings,
  signal: AbortSignal,
): Promise<Sandbox | null> {
  try {
    return await traced('engine', 'stock', () => takeFromStock(context, request, late, signal));
  } catch (error) {
    const end = await undoCreate(context, host, request.sandboxId);
    throwIfCancelled(signal);
    if (end !== null && isStopped(end)) throw endedDuringCreate(end);
    context.log.warn(
      { sandbox_id: request.sandboxId, err: error },
      'A sandbox that was booted ahead cannot be used; booting another one.',
    );
    return null;
  }
}

interface Making {
  host: Host;
  runtime: OciRuntime;
  record: SandboxRecord;
  folder: HostDirectory | null;
  source: ReturnType<typeof fetchedSource>;
}

async function makeSandbox(
  context: OciContext,
  request: CreateSandbox,
  { host, runtime, record: drafted, folder, source }: Making,
  signal: AbortSignal,
  report?: (line: string) => void,
): Promise<Sandbox> {
  const volumes = request.volumeMounts ?? [];
  if (volumes.length > 0) {
    const base = await findBase(host, drafted);
    for (const volume of volumes) checkMountPath(base, volume);
  }
  const { paths, record } = await claimVolumes(host, volumes, context.volumeLimits.count, () =>
    claimWithLayers(host, drafted),
  );
  try {
    const booted = await traced('engine', 'boot', () => boot(host, runtime, paths, record, signal, folder));
    context.owners.add(record.sandboxId, booted.owner);
    throwIfCancelled(signal);
    const expiresAt = Date.now() + booted.remainingMs;
    const { init, cgroups, enforced } = booted;
    const alive = { ...record, init, cgroups, enforced, expiresAt, workspace: booted.workspace };
    const running = source === null ? runningRecord(alive) : alive;
    await writeRecord(paths, running);
    if (booted.egress) {
      await traced('engine', 'gateway', () =>
        context.gateways.open(host, record.sandboxId, paths, record.networkPolicy),
      );
    }
    if (record.volumes.length > 0) context.disk.watch(record.sandboxId, record.diskMb, true);
    else await context.disk.watchNew(record.sandboxId, record.diskMb);
    context.expiry.watch(record.sandboxId, expiresAt);
    const filled =
      source === null ? running : await populatedRecord(context, running, source, signal, report ?? null);
    await context.forwards.open(paths.agentSocket, record);
    throwIfCancelled(signal);
    if (request.keep) await context.owners.release(record.sandboxId);
    return viewOf(filled, context.forwards);
  } catch (error) {
    const end = await undoCreate(context, host, record.sandboxId);
    throw end === null || signal.aborted ? bootFailure(error) : endedDuringCreate(end);
  }
}

/** What the request, the image and the snapshot say about a new sandbox. */
function settingsOf(
  request: CreateSandbox,
  image: ResolvedRuntime['image'],
  snapshot: SnapshotRecord | null,
): Omit<RecordInput, 'runtime' | 'diskMb'> {
  return {
    sandboxId: request.sandboxId,
    image: image?.name ?? null,
    shell: image?.shell ?? DEFAULT_SHELL,
    vcpus: request.vcpus,
    memoryMb: Math.round(request.vcpus * MEMORY_MB_PER_VCPU),
    timeoutMs: request.timeoutMs,
    ports: request.ports,
    interactive: request.interactive,
    env: { ...image?.env, ...(image && { PATH: defaultPath(image.env['PATH']) }), ...request.env },
    ...(image?.kind === 'rootfs' && { caBundle: IMAGE_BUNDLE }),
    // Mode and owner of the top-level directories come from the snapshot if there is one, else from the
    // image.
    ...(image && { baseLayers: { layers: [], owners: image.directories } }),
    ...(snapshot && {
      sourceSnapshotId: snapshot.snapshotId,
      etcTemplate: snapshot.etcTemplate,
      baseLayers: { layers: snapshot.layers, owners: snapshot.owners },
    }),
    networkPolicy: request.networkPolicy,
    volumes: mountedVolumes(request.volumeMounts ?? []),
  };
}

/**
 * Removes what a failed create has left. Returns the record of a sandbox that somebody else ended meanwhile.
 */
async function undoCreate(context: OciContext, host: Host, sandboxId: string): Promise<SandboxRecord | null> {
  context.disk.unwatch(sandboxId);
  context.owners.close(sandboxId);
  await Promise.all([context.gateways.close(sandboxId), context.forwards.close(sandboxId)]);
  const end = await concurrentEnd(host, sandboxId);
  // If a caller stopped it, keep the record: that caller reads it.
  if (end === null || !isStopped(end)) await removeSandbox(host, sandboxId);
  return end;
}

/** True if a caller ended it, or its session. */
function isStopped({ stopCause }: SandboxRecord): boolean {
  return stopCause === 'requested' || stopCause === 'session_end';
}
