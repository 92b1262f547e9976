/**
 * Reads the manifest of a stored container image: in the form of `docker save`, an OCI image layout, or
 * skopeo's `dir:`. The one for this machine is chosen, and by name where there are several images.
 */
import { z } from 'zod';
import { SandboxError } from '../shared/errors.ts';
import { configuredArchitecture } from './architecture.ts';
import {
  configSchema,
  type Descriptor,
  fittingManifests,
  indexSchema,
  isIndex,
  manifestSchema,
  wrongArchitecture,
} from './image-manifest.ts';
import { badImage, type ImageParts } from './image-parts.ts';

const dockerSchema = z.array(
  z.object({ Config: z.string(), Layers: z.array(z.string()), RepoTags: z.array(z.string()).nullish() }),
);
/** Annotations that name an image of an index. */
const NAMES = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];
/** Index in index: deeper nesting is a mistake or an attack. */
const MAX_DEPTH = 4;

/** An image's layers, lowest first, and its configuration. */
export interface StoredImage {
  layers: { path: string; diffId: string | null }[];
  /** In Node's naming; null if unknown. */
  arch: string | null;
  env: string[];
}

/** Names of the parts that make up one image. */
interface Manifest {
  config: string;
  layers: string[];
}

const hasTag = (name: string): boolean => name.lastIndexOf(':') > name.lastIndexOf('/');
const withTag = (name: string): string => (hasTag(name) ? name : `${name}:latest`);

/** Tools store `registry.example/app:1`, `app:1` or `1` of the same image. */
function isNamed(name: string, wanted: string): boolean {
  const full = withTag(name);
  const requested = withTag(wanted);
  return name === wanted || full === requested || full.endsWith(`/${requested}`);
}

/** Chooses by name; without one, there must be only one. */
function choose<T>(
  images: readonly T[],
  namesOf: (image: T) => readonly string[],
  wanted: string | null,
): T[] {
  if (wanted === null) return [...images];
  const found = images.filter((image) => namesOf(image).some((name) => isNamed(name, wanted)));
  if (found.length > 0) return found;
  const names = images.flatMap(namesOf);
  throw new SandboxError('not_found', `The archive has no image ${JSON.stringify(wanted.slice(0, 200))}.`, {
    hint: names.length === 0 ? 'Its images have no names: leave out --image.' : `It has ${names.join(', ')}.`,
  });
}

function severalImages(count: number, names: readonly string[]): SandboxError {
  const those = names.length === 0 ? '' : ` (${names.slice(0, 20).join(', ')})`;
  return badImage(
    `it contains ${count} images${those}`,
    names.length === 0 ? 'Write the one image to an archive of its own.' : 'Choose one with --image NAME.',
  );
}

const namesOf = ({ annotations }: Descriptor): string[] => NAMES.flatMap((name) => annotations?.[name] ?? []);

/**
 * The one manifest for this architecture. @throws `unsupported`, or `invalid_argument` if there are several
 */
function manifestFor(manifests: readonly Descriptor[], arch: string): Descriptor {
  const fitting = fittingManifests(manifests, arch);
  // An image with two names is listed twice.
  const digests = new Set(fitting.map(({ digest }) => digest));
  if (digests.size > 1) throw severalImages(digests.size, fitting.flatMap(namesOf));
  return fitting[0];
}

const blob = (digest: string) => `blobs/sha256/${digest.slice('sha256:'.length)}`;
const topLevel = (digest: string) => digest.slice('sha256:'.length);

async function ociManifest(parts: ImageParts, arch: string, wanted: string | null): Promise<Manifest> {
  let { manifests } = await parts.json('index.json', indexSchema);
  manifests = choose(manifests, namesOf, wanted);
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    const { digest, mediaType } = manifestFor(manifests, arch);
    if (!isIndex(mediaType)) {
      const { config, layers } = await parts.json(blob(digest), manifestSchema);
      return { config: blob(config.digest), layers: layers.map((layer) => blob(layer.digest)) };
    }
    manifests = (await parts.json(blob(digest), indexSchema)).manifests;
  }
  throw badImage(`its indexes are nested more than ${MAX_DEPTH} deep`);
}

/** `manifest.json` is a list of images in an archive of `docker save`, and a manifest in skopeo's `dir:`. */
async function listedManifest(parts: ImageParts, wanted: string | null): Promise<Manifest> {
  const listed = await parts.json('manifest.json', z.union([dockerSchema, manifestSchema]));
  if (!Array.isArray(listed)) {
    return {
      config: topLevel(listed.config.digest),
      layers: listed.layers.map(({ digest }) => topLevel(digest)),
    };
  }
  const tagsOf = (image: (typeof listed)[number]) => image.RepoTags ?? [];
  const found = choose(listed, tagsOf, wanted);
  const [only] = found;
  if (only === undefined || found.length > 1) throw severalImages(found.length, found.flatMap(tagsOf));
  return { config: only.Config, layers: only.Layers };
}

/**
 * @param arch this machine's architecture in Node's naming
 * @param wanted the name of an image, where there are several
 * @throws `invalid_argument`, `not_found` or `unsupported`
 */
export async function readStoredImage(
  parts: ImageParts,
  arch: string,
  wanted: string | null,
): Promise<StoredImage> {
  const manifest = parts.has('manifest.json')
    ? await listedManifest(parts, wanted)
    : await ociManifest(parts, arch, wanted);
  const { os, architecture, config, rootfs } = await parts.json(manifest.config, configSchema);
  const diffIds = rootfs?.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length) {
    throw badImage(`${manifest.layers.length} layers have ${diffIds.length} digests`);
  }
  if ((os ?? 'linux') !== 'linux') throw wrongArchitecture(os ?? '', arch);
  return {
    layers: manifest.layers.map((name, at) => ({ path: parts.place(name), diffId: diffIds[at] ?? null })),
    arch: architecture === undefined ? null : configuredArchitecture(architecture),
    env: config?.Env ?? [],
  };
}
