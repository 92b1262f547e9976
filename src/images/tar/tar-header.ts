/**
 * Decodes the header blocks of a tar archive: ustar, GNU and PAX (pax(1p), tar(5)). Names in archives are
 * bytes, not text, so they are kept as strings with one character per byte (latin1), which all string
 * functions for paths handle.
 */
import { SandboxError } from '../../shared/errors.ts';

export const BLOCK = 512;

/** A header block, before extension headers are applied. */
export interface TarHeader {
  /**
   * The type flag: `0` file, `1` hard link, `2` symbolic link, `5` directory, `x` PAX, `L` GNU long name, …
   */
  type: string;
  path: string;
  link: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds since the epoch; may be negative. */
  mtime: number;
  /** The extension records about a sparse file, by keyword; null if there are none. */
  sparse: ReadonlyMap<string, string> | null;
}

/** Type flags whose size field says nothing about content (Go and GNU tar ignore it as well). */
const WITHOUT_CONTENT = '123456';

/** @param why completes "The archive cannot be used: …" */
export function badArchive(why: string, cause?: unknown): SandboxError {
  return new SandboxError('invalid_argument', `The archive cannot be used: ${why}.`, {
    hint: 'Create it again, e.g. with `tar -c --numeric-owner -C ROOT .` or `docker save`.',
    ...(cause === undefined ? {} : { cause }),
  });
}

export function unsupportedType(path: string, type: string): SandboxError {
  return badArchive(`${printable(path)} has the unsupported type ${JSON.stringify(type)}`);
}

/** A name from an archive as text, shortened, for messages. */
export function printable(name: string): string {
  return JSON.stringify(Buffer.from(name.slice(0, 200), 'latin1').toString('utf8'));
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? length : end);
}

/** Octal digits, or base 256 in two's complement if the first bit is set. @throws `invalid_argument` */
export function numeric(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) === 0) {
    const digits = text(block, at, length).trim();
    if (!/^[0-7]*$/.test(digits)) throw badArchive('a header has a number that is not octal');
    return digits === '' ? 0 : Number.parseInt(digits, 8);
  }
  let value = BigInt.asIntN(7, BigInt(first & 0x7f));
  for (const byte of block.subarray(at + 1, at + length)) value = (value << 8n) | BigInt(byte);
  return Number(value);
}

/** The sum of the header's bytes, where those of the checksum itself count as spaces; signed for some old writers. */
function hasValidChecksum(block: Buffer): boolean {
  let sum = 8 * 0x20;
  let negative = 0;
  const add = (from: number, to: number): void => {
    for (let at = from; at < to; at += 1) {
      const byte = block[at] ?? 0;
      sum += byte;
      negative += byte >> 7;
    }
  };
  add(0, 148);
  add(156, BLOCK);
  const digits = text(block, 148, 8).trim();
  const stored = /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : null;
  return stored === sum || stored === sum - negative * 0x100;
}

/** Null for a block of zeros, which ends an archive. @throws `invalid_argument` */
export function parseHeader(block: Buffer): TarHeader | null {
  if (block.every((byte) => byte === 0)) return null;
  if (!hasValidChecksum(block)) throw badArchive('it is not a tar archive, or it is damaged');
  const magic = block.toString('latin1', 257, 263);
  const name = text(block, 0, 100);
  // In GNU's own format this field holds other things. star uses its end for times.
  const prefixLength = block.toString('latin1', 508, 512) === 'tar\0' ? 131 : 155;
  const prefix = magic === 'ustar\0' ? text(block, 345, prefixLength) : '';
  const flag = block.toString('latin1', 156, 157);
  const type = flag === '\0' || flag === '7' ? '0' : flag;
  const size = numeric(block, 124, 12);
  if (!Number.isSafeInteger(size) || size < 0) throw badArchive(`an entry has the size ${size}`);
  if (type === 'S' && magic !== 'ustar ') throw unsupportedType(name, type);
  return {
    // Before ustar, a trailing slash was the only mark of a directory.
    type: type === '0' && name.endsWith('/') ? '5' : type,
    path: prefix === '' ? name : `${prefix}/${name}`,
    link: text(block, 157, 100),
    mode: numeric(block, 100, 8),
    uid: numeric(block, 108, 8),
    gid: numeric(block, 116, 8),
    size: WITHOUT_CONTENT.includes(type) ? 0 : size,
    mtime: numeric(block, 136, 12),
    sparse: null,
  };
}

const SPARSE = 'GNU.sparse.';
/** The first version of sparse files repeats these for each of their segments, in this order; all others have a list. */
const SPARSE_PAIR = [`${SPARSE}offset`, `${SPARSE}numbytes`];
const SPARSE_LIST = `${SPARSE}map`;

/** The records of a PAX header by keyword, values as bytes (latin1). @throws `invalid_argument` */
export function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  const list: string[] = [];
  let at = 0;
  while (at < bytes.length && bytes[at] !== 0) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? '' : bytes.toString('latin1', at, Math.min(space, at + 20));
    const end = at + (/^\d+$/.test(digits) ? Number(digits) : 0);
    const equals = bytes.indexOf(0x3d, space);
    if (end <= space || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw badArchive('it has an extended header that is damaged');
    }
    const keyword = bytes.toString('latin1', space + 1, equals);
    const value = bytes.toString('latin1', equals + 1, end - 1);
    if (keyword === SPARSE_PAIR[list.length % 2]) list.push(value);
    else if (SPARSE_PAIR.includes(keyword)) throw badArchive('the map of a sparse file is out of order');
    else records.set(keyword, value);
    at = end;
  }
  if (list.length > 0) records.set(SPARSE_LIST, list.join());
  return records;
}

function paxNumber(records: ReadonlyMap<string, string>, keyword: string, otherwise: number): number {
  const value = records.get(keyword);
  // An empty value removes the record.
  if (value === undefined || value === '') return otherwise;
  if (/^-?\d{1,20}(\.\d*)?$/.test(value)) return Number(value);
  throw badArchive(`an extended header has the ${keyword} ${printable(value)}`);
}

/** The header with the records of the extension headers before it. @throws `invalid_argument` */
export function withPax(header: TarHeader, records: ReadonlyMap<string, string>): TarHeader {
  const sparse = [...records].filter(([keyword]) => keyword.startsWith(SPARSE));
  const path = records.get(`${SPARSE}name`) || records.get('path') || header.path;
  const type = header.type === '0' && path.endsWith('/') ? '5' : header.type;
  const size = paxNumber(records, 'size', header.size);
  if (!Number.isSafeInteger(size) || size < 0) throw badArchive(`an entry has the size ${size}`);
  return {
    ...header,
    type,
    path,
    link: records.get('linkpath') || header.link,
    size: WITHOUT_CONTENT.includes(type) ? 0 : size,
    uid: paxNumber(records, 'uid', header.uid),
    gid: paxNumber(records, 'gid', header.gid),
    mtime: paxNumber(records, 'mtime', header.mtime),
    sparse: sparse.length === 0 ? null : new Map(sparse),
  };
}
