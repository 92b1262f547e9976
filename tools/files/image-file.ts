import type { SandboxHandle } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { FORMATS } from './image-size.ts';

/** In base64 this is the 5 MB that model providers take. */
const MAX_IMAGE_BYTES = 3_750_000;
/**
 * Longest side. Providers take more for a single image, but refuse a conversation with many images above it.
 */
const MAX_IMAGE_SIDE = 2_000;
const SLICE_BYTES = 1_048_576;
/**
 * Metadata may precede the size of a JPEG. A malicious file makes the parser read every byte, so this bounds
 * the work.
 */
const MAX_HEADER_BYTES = 524_288;

export interface ImageInfo {
  mimeType: (typeof FORMATS)[number]['mimeType'];
  /** Pixels. */
  width: number;
  height: number;
}

export interface ImageFile extends ImageInfo {
  path: string;
  data: Buffer;
}

/**
 * The image format and size according to the first bytes of a file; null for anything else, and for a damaged
 * header.
 */
export function imageInfo(data: Buffer): ImageInfo | null {
  const header = data.subarray(0, MAX_HEADER_BYTES);
  for (const { mimeType, minBytes, isFormat, size } of FORMATS) {
    if (header.length < minBytes) continue;
    try {
      if (!isFormat(header)) continue;
      const { width = 0, height = 0 } = size(header) ?? {};
      return isSize(width) && isSize(height) ? { mimeType, width, height } : null;
    } catch {
      return null;
    }
  }
  return null;
}

function isSize(pixels: number): boolean {
  return Number.isSafeInteger(pixels) && pixels > 0;
}

/**
 * The whole file if it is an image that models accept; null otherwise.
 *
 * @throws `invalid_argument` if it has too many bytes or pixels
 */
export async function readImage(
  handle: { files: Pick<SandboxHandle['files'], 'read'> },
  { path, cwd = null }: { path: string; cwd?: string | null | undefined },
  signal: AbortSignal,
): Promise<ImageFile | null> {
  const slices: Buffer[] = [];
  let info: ImageInfo | null = null;
  let length = 0;
  for (;;) {
    const read = await handle.files.read(path, cwd, { offset: length, limit: SLICE_BYTES }, signal);
    if (read === null) return null;
    info ??= imageInfo(read.data);
    if (info === null) return null;
    slices.push(read.data);
    length += read.data.length;
    const sizeBytes = Math.max(length, read.sizeBytes);
    if (sizeBytes > MAX_IMAGE_BYTES || Math.max(info.width, info.height) > MAX_IMAGE_SIDE) {
      throw tooLarge(read.path, sizeBytes, info);
    }
    if (read.data.length === 0 || length >= read.sizeBytes) {
      return { ...info, path: read.path, data: Buffer.concat(slices) };
    }
  }
}

function tooLarge(path: string, sizeBytes: number, { mimeType, width, height }: ImageInfo): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `${JSON.stringify(path)} is an image of ${width} × ${height} pixels and ${sizeBytes} bytes; at most ` +
      `${MAX_IMAGE_SIDE} pixels a side and ${MAX_IMAGE_BYTES} bytes can be shown.`,
    {
      hint:
        'Scale it down inside and read the copy: with ImageMagick, sandbox_run_command cmd "convert" args ' +
        `[${JSON.stringify(path)}, "-resize", "1500x1500>", "/tmp/small.jpg"]; with ffmpeg, -vf scale=1500:-1; with ` +
        "Python's Pillow, Image.thumbnail((1500, 1500)).",
      details: { path, size_bytes: sizeBytes, mime_type: mimeType, width, height },
    },
  );
}
