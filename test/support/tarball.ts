/** Tar archives as no honest program would write them. */
import { gzipSync } from 'node:zlib';
import { Header, Pax } from 'tar';

export interface Member {
  path: string;
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'FIFO';
  content?: string | Buffer;
  linkpath?: string;
  mode?: number;
}

const BLOCK = 512;

/** A plain archive of these members, in order. */
export function tarOf(members: readonly Member[]): Buffer {
  const parts = members.flatMap((member) => {
    const content = Buffer.from(member.content ?? '');
    const { path, type = 'File', linkpath, mode = type === 'Directory' ? 0o755 : 0o644 } = member;
    const header = new Header({
      path,
      type,
      mode,
      size: content.length,
      mtime: new Date(1_700_000_000_000),
      ...(linkpath !== undefined && { linkpath }),
    });
    const block = Buffer.alloc(BLOCK);
    const needsPax = header.encode(block, 0);
    const pax = needsPax
      ? new Pax({ path, ...(linkpath !== undefined && { linkpath }) }).encode()
      : Buffer.alloc(0);
    return [pax, block, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** The same, packed with gzip. */
export function tgzOf(members: readonly Member[]): Buffer {
  return gzipSync(tarOf(members));
}
