/**
 * Bytes of one header that goes before a member (PAX, or a long name or target of GNU tar) at most: room for both in
 * full, and for extended attributes of ordinary size. All of it is held in memory.
 */
export const MAX_TAR_META_BYTES = 65_536;

/** Bytes of a link's target at most: PATH_MAX of Linux without the closing zero. */
export const MAX_LINK_TARGET_BYTES = 4_095;

/** What an entry is that the parser passed over; completes "the archive holds …". */
export function passedOver({ type, size, meta }: { type: string; size: number; meta: boolean }): string {
  return meta
    ? `a header of ${size} bytes, of which at most ${MAX_TAR_META_BYTES} are taken`
    : `something of the kind ${type}`;
}
