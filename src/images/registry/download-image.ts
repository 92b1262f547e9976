/** Downloads an image from its registry: the manifest for this machine, its configuration and its layers. */
import { join } from 'node:path';
import { z } from 'zod';
import { anySignal } from '../../shared/async/any-signal.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { SandboxError } from '../../shared/errors.ts';
import { configuredArchitecture } from '../architecture.ts';
import {
  configSchema,
  type Descriptor,
  fittingManifests,
  indexSchema,
  isIndex,
  manifestSchema,
  wrongArchitecture,
} from '../image-manifest.ts';
import { type Blob, downloadBlob } from './download-blob.ts';
import { type Answer, readBody } from './http.ts';
import { type Manifest, type RegistryClient, sha256 } from './registry-client.ts';
import { untrustworthy } from './registry-errors.ts';

const MAX_CONFIG_BYTES = 4_194_304;
const MAX_LAYERS = 512;
/** Index in index: deeper nesting is a mistake or an attack. */
const MAX_DEPTH = 4;
/** Layers that are downloaded or used at a time, as container engines do. */
const PARALLEL = 3;

/** An image that the registry has for this machine. */
export interface RemoteImage {
  /** Of the manifest for this machine. */
  digest: string;
  layers: (Blob & { diffId: string })[];
  env: string[];
  /** To download: the compressed layers. */
  bytes: number;
}

export interface PullProgress {
  layers: number;
  layersDone: number;
  bytes: number;
  totalBytes: number;
}

function parse<T>(client: RegistryClient, bytes: Buffer, schema: z.ZodType<T>, what: string): T {
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof z.ZodError)) throw error;
    throw new SandboxError('unsupported', `The ${client.what} has ${what} of an unknown form.`, {
      hint: 'It may have an outdated format, or not be a container image: choose another one.',
      cause: error,
    });
  }
}

/** Documents name their own type; the header is the fallback, as the OCI specification says. */
function typeOf(client: RegistryClient, manifest: Manifest): string | undefined {
  const { mediaType } = parse(
    client,
    manifest.bytes,
    z.object({ mediaType: z.string().optional() }),
    'a manifest',
  );
  return mediaType ?? manifest.mediaType;
}

/** Follows indexes to the manifest for this architecture. */
async function findManifest(
  client: RegistryClient,
  wanted: string,
  arch: string,
  signal: AbortSignal,
): Promise<Manifest> {
  let manifest = await client.manifest(wanted, signal);
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    if (!isIndex(typeOf(client, manifest))) return manifest;
    const { manifests } = parse(client, manifest.bytes, indexSchema, 'an index');
    const [{ digest }] = fittingManifests(manifests, arch);
    manifest = await client.manifest(digest, signal);
  }
  throw untrustworthy(client.what, `its indexes are nested more than ${MAX_DEPTH} deep`);
}

/** The blob of a descriptor. A size is required, since it limits the download. */
function blobOf(client: RegistryClient, { digest, size }: Descriptor): Blob {
  if (size === undefined) throw untrustworthy(client.what, `its manifest does not say the size of ${digest}`);
  return { digest, size };
}

async function readConfig(
  client: RegistryClient,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<z.output<typeof configSchema>> {
  const blob = blobOf(client, descriptor);
  if (blob.size > MAX_CONFIG_BYTES)
    throw untrustworthy(client.what, `its configuration has ${blob.size} bytes`);
  const read = (answer: Answer) => readBody(answer, blob.size, signal);
  const bytes = await client.blob(blob.digest, () => 0, read, signal);
  if (sha256(bytes) !== blob.digest) {
    throw untrustworthy(client.what, `its configuration ${blob.digest} has the digest ${sha256(bytes)}`);
  }
  return parse(client, bytes, configSchema, 'a configuration');
}

/**
 * Finds the image without its layers.
 * @param wanted a tag or a digest
 * @param arch this machine's architecture in Node's naming
 */
export async function resolveImage(
  client: RegistryClient,
  wanted: string,
  arch: string,
  signal: AbortSignal,
): Promise<RemoteImage> {
  const manifest = await findManifest(client, wanted, arch, signal);
  const { config: descriptor, layers } = parse(client, manifest.bytes, manifestSchema, 'a manifest');
  const { os = 'linux', architecture, config, rootfs } = await readConfig(client, descriptor, signal);
  const found = architecture === undefined ? arch : configuredArchitecture(architecture);
  if (os !== 'linux' || found !== arch) throw wrongArchitecture(`${os}/${found}`, arch);
  const diffIds = rootfs?.diff_ids ?? [];
  if (diffIds.length !== layers.length || layers.length > MAX_LAYERS) {
    throw new SandboxError('unsupported', `The ${client.what} is not a container image.`, {
      hint: 'Registries also store other things, such as charts and signatures: choose an image.',
    });
  }
  const blobs = layers.map((layer, at) => ({ ...blobOf(client, layer), diffId: diffIds[at] ?? '' }));
  const diffIdOf = new Map(blobs.map(({ digest, diffId }) => [digest, diffId]));
  if (blobs.some(({ digest, diffId }) => diffIdOf.get(digest) !== diffId))
    throw untrustworthy(client.what, 'its configuration has two digests for the content of one layer');
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
  return { digest: manifest.digest, layers: blobs, env: config?.Env ?? [], bytes };
}

/**
 * Downloads layers into `scratch`, several at a time, and passes each to `use` while others are downloaded. If one
 * fails the others are cancelled, and none is still running when this rejects.
 * @param use gets the path of the layer, and a signal that aborts when another one fails
 */
export async function downloadLayers<Layer extends Blob>(
  client: RegistryClient,
  layers: readonly Layer[],
  scratch: string,
  onProgress: (progress: PullProgress) => void,
  use: (layer: Layer, path: string, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const unique = new Map(layers.map((layer) => [layer.digest, layer]));
  const progress: PullProgress = {
    layers: unique.size,
    layersDone: 0,
    bytes: 0,
    totalBytes: [...unique.values()].reduce((sum, { size }) => sum + size, 0),
  };
  const failed = new AbortController();
  const either = anySignal([signal, failed.signal]);
  const failures: unknown[] = [];
  await mapConcurrent([...unique.values()], PARALLEL, async (layer) => {
    if (either.aborted) return;
    try {
      const onBytes = (bytes: number) => {
        progress.bytes += bytes;
        onProgress(progress);
      };
      const path = join(scratch, layer.digest.slice('sha256:'.length));
      await downloadBlob(client, layer, path, onBytes, either);
      progress.layersDone += 1;
      onProgress(progress);
      await use(layer, path, either);
    } catch (error) {
      failures.push(error);
      failed.abort();
    }
  });
  if (failures.length > 0) throw failures[0];
  if (signal.aborted) throw signal.reason;
}
