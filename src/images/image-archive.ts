/**
 * Reads container image archives: the output of `docker save`, and an OCI image layout in a tar archive. Their parts can come
 * in any order, so they are stored first; a part that is named by its digest is verified against it.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { SandboxError } from '../shared/errors.ts';
import { configuredArchitecture } from './architecture.ts';
import { readTar, type TarEntry } from './tar-entries.ts';
import { isUsablePath } from './unpacker.ts';

/** An archive that starts with anything else is a root file system. */
const PART =
  /^(oci-layout|index\.json|manifest\.json|repositories|(sha256:)?[0-9a-f]{64}(\.json|\.tar|\.tar\.gz)?|[0-9a-f]{64}\/(json|VERSION|layer\.tar)|blobs(\/sha256(\/[0-9a-f]{64})?)?)$/;
const DIGEST = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/;
const MAX_JSON_BYTES = 4_194_304;
const MAX_PARTS = 4_096;

const descriptorSchema = z.object({
  mediaType: z.string().optional(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  platform: z.object({ os: z.string().optional(), architecture: z.string().optional() }).optional(),
});
const indexSchema = z.object({ manifests: z.array(descriptorSchema) });
const manifestSchema = z.object({ config: descriptorSchema, layers: z.array(descriptorSchema) });
const dockerSchema = z.array(z.object({ Config: z.string(), Layers: z.array(z.string()) }));
const configSchema = z.object({
  architecture: z.string().optional(),
  os: z.string().optional(),
  config: z.object({ Env: z.array(z.string()).nullish() }).nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string()) }).optional(),
});

/** An image's layers, lowest first, and its configuration. */
export interface ImageParts {
  layers: { path: string; diffId: string | null }[];
  /** In Node's naming; null if unknown. */
  arch: string | null;
  env: string[];
}

/** Thrown to stop reading: the archive is not an image and is read again as a root file system. */
class UnsuitableImageError extends Error {}

function bad(why: string): SandboxError {
  return new SandboxError('invalid_argument', `Cannot use the image archive: ${why}.`, {
    hint: 'Create it again with `docker save IMAGE`, or import a root file system (`docker export CONTAINER`).',
  });
}

/** The parts of one archive, stored in a directory. */
class Parts {
  readonly #directory: string;
  readonly #files = new Map<string, string>();
  readonly #links = new Map<string, string>();
  #written = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async keep(entry: TarEntry): Promise<void> {
    if (entry.kind === 'directory' && (entry.path === '' || /^[0-9a-f]{64}$|^blobs/.test(entry.path))) return;
    if (!PART.test(entry.path)) throw new UnsuitableImageError();
    if (this.#files.size + this.#links.size >= MAX_PARTS) throw bad(`it has more than ${MAX_PARTS} parts`);
    if (entry.kind === 'symlink') {
      if (!isUsablePath(entry.link)) throw bad(`${entry.path} is a link with a target that is too long`);
      this.#links.set(entry.path, posix.join(posix.dirname(entry.path), entry.link));
      return;
    }
    if (entry.kind !== 'file') throw new UnsuitableImageError();
    const place = join(this.#directory, String(this.#written));
    this.#written += 1;
    const hash = createHash('sha256');
    await pipeline(
      entry.content,
      async function* (source) {
        for await (const chunk of source) {
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(place, { flags: 'wx', mode: 0o600 }),
    );
    const named = DIGEST.exec(entry.path)?.[1];
    if (named !== undefined && hash.digest('hex') !== named)
      throw bad(`the content of ${entry.path} does not match the digest in its name`);
    this.#files.set(entry.path, place);
  }

  /** True while no part of an image has been read; directories do not count. */
  get isEmpty(): boolean {
    return this.#files.size + this.#links.size === 0;
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  place(name: string): string {
    const place = this.#files.get(name) ?? this.#files.get(this.#links.get(name) ?? '');
    if (place === undefined) throw bad(`${JSON.stringify(name.slice(0, 100))} is missing`);
    return place;
  }

  async json<T>(name: string, schema: z.ZodType<T>): Promise<T> {
    const bytes = await readFile(this.place(name));
    if (bytes.length > MAX_JSON_BYTES) throw bad(`${name} is too large`);
    try {
      return schema.parse(JSON.parse(bytes.toString('utf8')));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof z.ZodError) throw bad(`${name} is not valid`);
      throw error;
    }
  }
}

const blob = (digest: string) => `blobs/sha256/${digest.slice('sha256:'.length)}`;

/** OCI image layout: finds the manifest for this machine, following nested indexes. */
async function ociManifest(parts: Parts, arch: string, index: string, depth = 0) {
  const { manifests } = await parts.json(index, indexSchema);
  const fitting = manifests.filter(({ platform }) => {
    if (platform?.architecture === undefined) return true;
    return (platform.os ?? 'linux') === 'linux' && configuredArchitecture(platform.architecture) === arch;
  });
  const [only] = fitting;
  if (only === undefined) {
    const there = manifests.map(({ platform }) => `${platform?.os}/${platform?.architecture}`).join(', ');
    throw wrongArchitecture(there || 'nothing', arch);
  }
  if (fitting.length > 1) throw bad(`it contains ${fitting.length} images instead of one`);
  if (/index|manifest\.list/.test(only.mediaType ?? '') && depth < 4) {
    return ociManifest(parts, arch, blob(only.digest), depth + 1);
  }
  const manifest = await parts.json(blob(only.digest), manifestSchema);
  return { config: blob(manifest.config.digest), layers: manifest.layers.map(({ digest }) => blob(digest)) };
}

async function dockerManifest(parts: Parts) {
  const images = await parts.json('manifest.json', dockerSchema);
  const [only] = images;
  if (only === undefined || images.length > 1)
    throw bad(`it contains ${images.length} images instead of one`);
  return { config: only.Config, layers: only.Layers };
}

/** The error for an archive built for another architecture. */
export function wrongArchitecture(found: string, arch: string): SandboxError {
  return new SandboxError('unsupported', `The archive is for ${found}; this machine is linux/${arch}.`, {
    hint: 'Use the image for this machine, e.g. with `docker pull --platform`.',
  });
}

/**
 * Reads an image archive and stores its parts in `directory`. Null if the archive is not an image.
 * @param arch this machine's architecture in Node's naming
 */
export async function readImageArchive(
  source: AsyncIterable<Buffer>,
  directory: string,
  arch: string,
): Promise<ImageParts | null> {
  const parts = new Parts(directory);
  try {
    await readTar(source, (entry) => parts.keep(entry));
  } catch (error) {
    if (error instanceof UnsuitableImageError) return null;
    throw error;
  }
  if (parts.isEmpty) return null;
  const { config: configName, layers } = parts.has('manifest.json')
    ? await dockerManifest(parts)
    : await ociManifest(parts, arch, 'index.json');
  const config = await parts.json(configName, configSchema);
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (diffIds.length !== layers.length) throw bad(`${layers.length} layers have ${diffIds.length} digests`);
  if ((config.os ?? 'linux') !== 'linux') throw wrongArchitecture(config.os ?? '', arch);
  return {
    layers: layers.map((name, at) => ({ path: parts.place(name), diffId: diffIds[at] ?? null })),
    arch: config.architecture === undefined ? null : configuredArchitecture(config.architecture),
    env: config.config?.Env ?? [],
  };
}
