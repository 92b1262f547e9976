/**
 * The parts of a container image: those of a tar archive, which can come in any order and are stored first,
 * or those of a directory, which are used in place. A part that is named by its digest is verified against
 * it.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../shared/errors.ts';
import type { ByteLimit } from './byte-limit.ts';
import { printable } from './tar/tar-header.ts';
import { readTar, type TarEntry } from './tar/tar-reader.ts';
import { isUsablePath } from './unpacker.ts';

/** An archive that contains anything else is a root file system. */
const PARTS = [
  /^(?:oci-layout|index\.json|manifest\.json|version|repositories|blobs|blobs\/sha256)$/,
  /^signature-\d+$/,
  /^(?:sha256:)?[0-9a-f]{64}(?:\.json|\.manifest\.json|\.tar|\.tar\.gz)?$/,
  /^[0-9a-f]{64}\/(?:json|VERSION|layer\.tar)$/,
  /^blobs\/sha256\/[0-9a-f]{64}$/,
];
const isPart = (path: string): boolean => PARTS.some((pattern) => pattern.test(path));
const DIGEST = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json|\.manifest\.json)?$/;
const MAX_JSON_BYTES = 4_194_304;
const MAX_PARTS = 4_096;

/** Thrown to stop reading: the archive is not an image and is read again as a root file system. */
class UnsuitableImageError extends Error {}

/** @param why completes "Cannot use the image archive: …" */
export function badImage(why: string, hint?: string): SandboxError {
  return new SandboxError('invalid_argument', `Cannot use the image archive: ${why}.`, {
    hint:
      hint ??
      'Create it again with `docker save IMAGE`, or import a root file system (`docker export CONTAINER`).',
  });
}

function requireDigest(name: string, found: string): void {
  const named = DIGEST.exec(name)?.[1];
  if (named !== undefined && found !== named)
    throw badImage(`the content of ${name} does not match the digest in its name`);
}

export class ImageParts {
  readonly #files = new Map<string, string>();
  readonly #links = new Map<string, string>();
  #stored = 0;

  /**
   * Stores the parts of an archive in `directory`. Null if the archive is not an image.
   * @param limit of the source's bytes, which also gets the holes of sparse files
   */
  static async ofArchive(
    source: AsyncIterable<Uint8Array>,
    directory: string,
    limit: ByteLimit,
  ): Promise<ImageParts | null> {
    const parts = new ImageParts();
    try {
      await readTar(
        source,
        (entry) => parts.#keep(entry, directory),
        (holes) => limit.add(holes),
      );
    } catch (error) {
      if (error instanceof UnsuitableImageError) return null;
      throw error;
    }
    return parts.#files.size + parts.#links.size === 0 ? null : parts;
  }

  /** Finds the parts in a directory: an OCI image layout, or what `skopeo copy … dir:` writes. */
  static async ofDirectory(directory: string): Promise<ImageParts> {
    const parts = new ImageParts();
    for (const prefix of ['', 'blobs/sha256/']) {
      for (const name of await names(join(directory, prefix))) {
        if (isPart(prefix + name)) parts.#files.set(prefix + name, join(directory, prefix, name));
      }
    }
    return parts;
  }

  /** True if there is a list or an index of images. */
  get isImage(): boolean {
    return this.has('manifest.json') || this.has('index.json');
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  /** Path of the part's file. @throws `invalid_argument` if there is none */
  place(name: string): string {
    const place = this.#files.get(name) ?? this.#files.get(this.#links.get(name) ?? '');
    if (place === undefined) throw badImage(`${JSON.stringify(name.slice(0, 100))} is missing`);
    return place;
  }

  async json<T>(name: string, schema: z.ZodType<T>): Promise<T> {
    const place = this.place(name);
    if ((await stat(place)).size > MAX_JSON_BYTES) throw badImage(`${name} is too large`);
    const bytes = await readFile(place);
    requireDigest(name, createHash('sha256').update(bytes).digest('hex'));
    try {
      return schema.parse(JSON.parse(bytes.toString('utf8')));
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof z.ZodError) throw badImage(`${name} is not valid`);
      throw error;
    }
  }

  async #keep(entry: TarEntry, directory: string): Promise<void> {
    if (entry.kind === 'directory' && (entry.path === '' || /^[0-9a-f]{64}$|^blobs/.test(entry.path))) return;
    if (!isPart(entry.path)) throw new UnsuitableImageError();
    if (this.#stored + this.#links.size >= MAX_PARTS) throw badImage(`it has more than ${MAX_PARTS} parts`);
    if (entry.kind === 'symlink') {
      if (!isUsablePath(entry.link))
        throw badImage(`${printable(entry.path)} is a link with a target that is too long`);
      this.#links.set(entry.path, posix.join(posix.dirname(entry.path), entry.link));
      return;
    }
    if (entry.kind !== 'file') throw new UnsuitableImageError();
    const place = join(directory, String(this.#stored));
    this.#stored += 1;
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
    requireDigest(entry.path, hash.digest('hex'));
    this.#files.set(entry.path, place);
  }
}

/** The files of a directory; none if it does not exist. */
async function names(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [] : [entry.name]));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
