/** Pulls an image from a registry into the store. */
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { anySignal } from '../shared/async/any-signal.ts';
import { SandboxError, throwIfCancelled } from '../shared/errors.ts';
import { buildRootfs, checked, openArchive } from './build-rootfs.ts';
import { ByteLimit } from './byte-limit.ts';
import type { ImageRecord } from './image-record.ts';
import type { ImageStore, Staging } from './image-store.ts';
import { LayerStore } from './layer-store/layer-store.ts';
import { NamesLimit } from './layers/entry-rules.ts';
import type { StoredLayer } from './layers/stored-layer.ts';
import type { Blob } from './registry/download-blob.ts';
import {
  downloadLayers,
  type PullProgress,
  type RemoteImage,
  resolveImage,
} from './registry/download-image.ts';
import { canonicalReference, familiarReference, type ImageReference } from './registry/reference.ts';
import { RegistryClient } from './registry/registry-client.ts';
import type { RegistryOptions } from './registry/registry-options.ts';

export interface PullRequest {
  reference: ImageReference;
  /** Limit of the download, and of what it unpacks to, in bytes. */
  maxBytes: number;
  /** False if an agent chose the image: then its registry must have a public address. */
  trusted: boolean;
  onProgress: ((progress: PullStep) => void) | null;
}

/** What a pull is doing. */
export type PullStep = { kind: 'resolve' } | ({ kind: 'download' } & PullProgress) | { kind: 'unpack' };

/** One line of text about a pull. */
export function describeStep(reference: ImageReference, step: PullStep): string {
  const name = familiarReference(reference);
  if (step.kind === 'resolve') return `Looking up ${name}`;
  if (step.kind === 'unpack') return `Unpacking ${name}`;
  const megabytes = (bytes: number) => (bytes / 1_048_576).toFixed(1);
  const { bytes, totalBytes, layersDone, layers } = step;
  return `Pulling ${name}: ${megabytes(bytes)} of ${megabytes(totalBytes)} MB, ${layersDone} of ${layers} layers`;
}

/** The name in the store of an image with this digest. */
function nameOfDigest(digest: string): string {
  return `sha256-${digest.slice('sha256:'.length, 'sha256:'.length + 40)}`;
}

/** Serializes pulls of one reference; it fits where the names of images do. */
function lockOf(reference: string): string {
  return `pull-${createHash('sha256').update(reference).digest('hex').slice(0, 40)}`;
}

/** The image, pulled unless it is there already. Concurrent callers share one pull. */
export async function ensurePulled(
  store: ImageStore,
  options: RegistryOptions,
  request: PullRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const canonical = canonicalReference(request.reference);
  const present = await store.findPulled(canonical);
  if (present !== null) return present;
  return serialized(store, options, request, signal, async (limited) => {
    const pulled = await store.findPulled(canonical);
    return pulled ?? pullNow(store, options, request, limited);
  });
}

/** Pulls the image even if an older one has the same reference, which the older one then loses. */
export function pullImage(
  store: ImageStore,
  options: RegistryOptions,
  request: PullRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  return serialized(store, options, request, signal, (limited) => pullNow(store, options, request, limited));
}

/** Runs `work` while no other process pulls the same reference, within the time limit. */
async function serialized<T>(
  store: ImageStore,
  { pullMs }: RegistryOptions,
  { reference }: PullRequest,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  const limited = anySignal([signal, AbortSignal.timeout(pullMs)]);
  const canonical = canonicalReference(reference);
  try {
    return await store.makingOnce(lockOf(canonical), () => work(limited), {
      waitMs: pullMs,
      signal: limited,
    });
  } catch (error) {
    throwIfCancelled(signal);
    if (!limited.aborted) throw error;
    throw new SandboxError('timeout', `Pulling ${canonical} took longer than ${pullMs / 60_000} minutes.`, {
      hint: 'Choose a smaller image or an installed runtime.',
      cause: error,
    });
  }
}

async function pullNow(
  store: ImageStore,
  options: RegistryOptions,
  request: PullRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { reference, trusted, onProgress } = request;
  throwIfCancelled(signal);
  const canonical = canonicalReference(reference);
  const client = await RegistryClient.open(reference, options, trusted ? null : options.closedBecause);
  try {
    onProgress?.({ kind: 'resolve' });
    const wanted = reference.digest ?? reference.tag ?? 'latest';
    const image = await resolveImage(client, wanted, store.host.arch, signal);
    requireSize(canonical, image, request.maxBytes);
    const name = nameOfDigest(image.digest);
    const made = await store.makingOnce(name, () => makeFrom(store, client, image, request, signal), {
      waitMs: options.pullMs,
      signal,
    });
    return await store.tag(made.name, canonical);
  } finally {
    await client.close();
  }
}

function requireSize(canonical: string, { bytes }: RemoteImage, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  throw new SandboxError(
    'limit_exceeded',
    `Image ${canonical} has ${bytes} bytes to download; the maximum is ${maxBytes}.`,
    { hint: 'Choose a smaller image, or pull it with `sandbox-mcp image pull --max-size BYTES`.' },
  );
}

/** Makes the image of its layers, unless the same image has been pulled under another name. */
async function makeFrom(
  store: ImageStore,
  client: RegistryClient,
  image: RemoteImage,
  request: PullRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const name = nameOfDigest(image.digest);
  const present = await store.find(name);
  if (present !== null) return present;
  const shared = new LayerStore(store);
  try {
    return await store.make(
      name,
      async (staging) => {
        const layers = image.layers.map(({ diffId }) => diffId);
        await shared.reserve(staging, layers);
        const stored = await storedLayers(shared, staging, client, image, request, signal);
        const made = await buildRootfs(store, staging, { stored, env: image.env }, request.maxBytes, signal);
        return { ...made, digest: image.digest, references: [canonicalReference(request.reference)], layers };
      },
      signal,
    );
  } catch (error) {
    // What remains is removed later; the error is why there is no image.
    await shared.removeUnused().catch(() => {});
    throw error;
  }
}

/** The layers of the image, in order. Downloads and unpacks those that are not there. */
async function storedLayers(
  shared: LayerStore,
  staging: Staging,
  client: RegistryClient,
  { layers }: RemoteImage,
  { maxBytes, onProgress }: PullRequest,
  signal: AbortSignal,
): Promise<StoredLayer[]> {
  const unpacked = new ByteLimit(maxBytes);
  const names = new NamesLimit();
  const found = new Map<string, StoredLayer>();
  for (const { diffId } of layers) {
    const layer = found.get(diffId) ?? (await shared.find(diffId));
    if (layer === null) continue;
    found.set(diffId, layer);
    unpacked.add(layer.header.bytes);
  }
  const absent = layers.filter(({ diffId }) => !found.has(diffId));
  // Layers of two digests can have the same content.
  const missing = [...new Map(absent.map((layer) => [layer.diffId, layer])).values()];
  const report = (progress: PullProgress) => {
    onProgress?.({ kind: 'download', ...progress });
    if (progress.layersDone === progress.layers) onProgress?.({ kind: 'unpack' });
  };
  if (missing.length === 0) onProgress?.({ kind: 'unpack' });
  const use = async ({ diffId }: Blob & { diffId: string }, path: string, limited: AbortSignal) => {
    const archive = () => checked(openArchive(path, unpacked, limited), diffId);
    found.set(diffId, await shared.add(staging, diffId, { archive, limit: unpacked, names }, limited));
    // Only what is kept is written to the disk.
    await rm(path);
  };
  await downloadLayers(client, missing, staging.scratch, report, use, signal);
  return layers.flatMap(({ diffId }) => found.get(diffId) ?? []);
}
