/**
 * Bytes of one header that goes before a member (PAX, or a long name or target of GNU tar) at most: room for both in
 * full, and for extended attributes of ordinary size. All of it is held in memory.
 */
export const MAX_TAR_META_BYTES = 65_536;

/** Bytes of a link's target at most: PATH_MAX of Linux without the closing zero. */
export const MAX_LINK_TARGET_BYTES = 4_095;

/** What an entry is that the parser passed over; completes "the archive holds …". */
export function describeSkipped({ type, size, meta }: { type: string; size: number; meta: boolean }): string {
  return meta
    ? `a header of ${size} bytes, of which at most ${MAX_TAR_META_BYTES} are taken`
    : `something of the kind ${type}`;
}

/**
 * What a PAX header says that the parser passes over in silence, so that a file would come out as another one: completes
 * "the archive holds …". Null where there is nothing of the kind. `meta` is the header as text, with U+FFFD for what is no
 * UTF-8. Each record is its length in bytes, a blank, `key=value` and a line feed; the parser takes lines for records.
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
