/** Imports an archive as an image. */
import { stat } from 'node:fs/promises';
import { SandboxError, systemErrorCode } from '../shared/errors.ts';
import { buildRootfs, openArchive } from './build-rootfs.ts';
import { ByteLimit } from './byte-limit.ts';
import { readStoredImage, type StoredImage } from './image-archive.ts';
import { wrongArchitecture } from './image-manifest.ts';
import { ImageParts } from './image-parts.ts';
import type { ImageRecord, MadeImage } from './image-record.ts';
import type { ImageStore, Staging } from './image-store.ts';

export interface ImportRequest {
  name: string;
  /**
   * Path on the host: a tar archive, or a directory in the OCI image layout or as skopeo's `dir:` writes it.
   */
  archive: string;
  /** The image's name in an archive that contains several. */
  image?: string | undefined;
  /** Limit of the unpacked size in bytes. */
  maxBytes: number;
}

/** True for a directory, false for a file. */
async function isDirectory(path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    if (found.isFile()) return false;
    if (found.isDirectory() && (await ImageParts.ofDirectory(path)).isImage) return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    throw new SandboxError('not_found', `The archive ${JSON.stringify(path)} cannot be read (${code}).`, {
      hint: 'Use the path of a tar archive on this machine, plain or compressed with gzip or zstd.',
      cause: error,
    });
  }
  throw new SandboxError('invalid_argument', `${JSON.stringify(path)} is not an archive.`, {
    hint: 'Use a tar archive; to pack the root file system in a directory, run `tar -c --numeric-owner -C DIR .`.',
  });
}

/** Imports an archive as a new image. Leaves nothing behind on failure or abort. */
export async function importImage(
  store: ImageStore,
  request: ImportRequest,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const inPlace = await isDirectory(request.archive);
  return store.make(
    request.name,
    (staging) => build(store, staging, { ...request, inPlace }, signal),
    signal,
  );
}

async function build(
  store: ImageStore,
  staging: Staging,
  request: ImportRequest & { inPlace: boolean },
  signal: AbortSignal,
): Promise<MadeImage> {
  const { arch } = store.host;
  const { archive, inPlace, image, maxBytes } = request;
  // Unpacking the parts has a limit of its own, separate from the one on storing them.
  const limit = new ByteLimit(maxBytes);
  const parts = inPlace
    ? await ImageParts.ofDirectory(archive)
    : await ImageParts.ofArchive(openArchive(archive, limit, signal), staging.scratch, limit);
  const stored = parts === null ? null : await readStoredImage(parts, arch, image ?? null);
  requireFitting(stored, request, arch);
  return buildRootfs(store, staging, stored ?? { archive }, maxBytes, signal);
}

function requireFitting(stored: StoredImage | null, { image }: ImportRequest, arch: string): void {
  if (stored === null && image !== undefined) {
    throw new SandboxError(
      'invalid_argument',
      'The archive is a root file system, so it has no image names.',
      {
        hint: 'Leave out --image.',
      },
    );
  }
  if (stored !== null && stored.arch !== null && stored.arch !== arch) {
    throw wrongArchitecture(`linux/${stored.arch}`, arch);
  }
}
