import { Header, type HeaderData, Pax } from 'tar';

/** Headers and contents of a tar archive are padded to multiples of this; two empty blocks end it. */
export const TAR_BLOCK_BYTES = 512;

/** What precedes a member's content, with an extension header for what the plain one cannot hold. */
export function tarHeader(member: HeaderData): Buffer {
  const block = Buffer.alloc(TAR_BLOCK_BYTES);
  const needsPax = new Header(member).encode(block);
  // The plain header holds whole seconds.
  const hasFraction = (member.mtime?.getMilliseconds() ?? 0) > 0;
  return needsPax || hasFraction ? Buffer.concat([new Pax(member).encode(), block]) : block;
}

/** What follows a content of this many bytes. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES);
}
