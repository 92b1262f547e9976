/**
 * Maximum bytes of one extension header before a member (PAX, or a GNU long name or target): enough for both
 * at full length, plus extended attributes of ordinary size. All of it is held in memory.
 */
export const MAX_TAR_META_BYTES = 65_536;

/** Maximum bytes of a link's target: PATH_MAX of Linux without the terminating NUL. */
export const MAX_LINK_TARGET_BYTES = 4_095;

/** The kind of an entry that the parser skipped; completes "the archive holds …". */
export function describeSkipped({ type, size, meta }: { type: string; size: number; meta: boolean }): string {
  return meta
    ? `a header of ${size} bytes, more than the limit of ${MAX_TAR_META_BYTES}`
    : `an entry of type ${type}`;
}

/**
 * A PAX header field that the parser silently ignores, so that a file would be extracted wrongly; completes
 * "the archive holds …". Null if there is none. `meta` is the header as text, with U+FFFD for invalid UTF-8.
 * Each record is its length in bytes, a space, `key=value` and a line feed; the parser splits at line feeds
 * instead.
 */
export function unsupportedPaxHeader(meta: string): 'a sparse file' | 'a name that cannot be read' | null {
  for (const line of meta.split('\n')) {
    if (/^\d+ GNU\.sparse\./.test(line)) return 'a sparse file';
    const length = /^(\d+) (?:path|linkpath)=/.exec(line)?.[1];
    if (length !== undefined && Number(length) !== Buffer.byteLength(line) + 1) {
      return 'a name that cannot be read';
    }
  }
  return null;
}
