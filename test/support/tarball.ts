/** Malformed and malicious tar archives. */
import { gzipSync } from 'node:zlib';
import { Header, Pax } from 'tar';
import { paxRecord } from './archives.ts';

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

/** An archive of one empty file whose name is these bytes, fewer than a hundred. */
export function tarNamed(name: Buffer): Buffer {
  const archive = tarOf([{ path: 'x' }]);
  archive.fill(0, 0, 100);
  name.copy(archive);
  archive.fill(' ', 148, 156);
  const sum = archive.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return archive;
}

/** An archive with a PAX header of these records, each `key=value`, before its one member. */
export function tarWithPax(records: readonly (string | Buffer)[], member: Member): Buffer {
  const body = Buffer.concat(records.map(paxRecord));
  const block = Buffer.alloc(BLOCK);
  new Header({ path: 'PaxHeader', type: 'ExtendedHeader', mode: 0o644, size: body.length }).encode(block, 0);
  const pad = Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK);
  return Buffer.concat([block, body, pad, tarOf([member])]);
}

/** A plain archive of these members, compressed with gzip. */
export function tgzOf(members: readonly Member[]): Buffer {
  return gzipSync(tarOf(members));
}
