/**
 * Sparse files as GNU tar stores them: the archive has only their data, and a map says where it belongs. There are four
 * forms: the type `S` with the map in its header and blocks after it, and PAX records of the versions 0.0, 0.1 and 1.0,
 * the last with the map before the data.
 */
import { BLOCK, badArchive, numeric, printable, type TarHeader } from './tar-header.ts';

export interface SparseMap {
  /** Of the file with its holes, in bytes. */
  size: number;
  /** The data, in order, and without overlaps. */
  segments: readonly { offset: number; length: number }[];
  /** Bytes of the data. */
  stored: number;
}

/** Far more than a file has that is worth storing this way. */
const MAX_SEGMENTS = 65_536;
const MAX_DIGITS = 16;
/** Of the type `S`: where the map is in the header, and in each further block; pairs of 12 bytes each. */
const HEADER_MAP = { at: 386, pairs: 4, more: 482 };
const BLOCK_MAP = { at: 0, pairs: 21, more: 504 };
const REAL_SIZE_AT = 483;
const FIELD = 12;

function unreadable({ path }: TarHeader, why: string): Error {
  return badArchive(`it contains a sparse file, ${printable(path)}, ${why}`);
}

function decimal(header: TarHeader, digits: string | undefined): number {
  const value = digits !== undefined && /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw unreadable(header, 'whose map cannot be read');
}

/** @param numbers offset and length of each segment */
function mapOf(header: TarHeader, numbers: readonly number[], size: number, stored: number): SparseMap {
  const segments: { offset: number; length: number }[] = [];
  let end = 0;
  let data = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset = 0, length = -1] = [numbers[at], numbers[at + 1]];
    if (offset < end || length < 0 || !Number.isSafeInteger(offset + length))
      throw unreadable(header, 'whose data is not in order');
    end = offset + length;
    data += length;
    segments.push({ offset, length });
  }
  if (!Number.isSafeInteger(size) || end > size) throw unreadable(header, `with data after its end, ${size}`);
  if (data !== stored) throw unreadable(header, `with ${stored} bytes of data instead of ${data}`);
  return { size, segments, stored };
}

/** Limits a list of offsets and lengths. */
function requireLength(header: TarHeader, count: number): void {
  if (count > 2 * MAX_SEGMENTS) throw unreadable(header, `with more than ${MAX_SEGMENTS} holes`);
}

/** The type `S`. */
async function mapOfBlocks(
  header: TarHeader,
  first: Buffer,
  nextBlock: () => Promise<Buffer>,
): Promise<SparseMap> {
  const numbers: number[] = [];
  let [block, { at, pairs, more }] = [first, HEADER_MAP];
  for (;;) {
    // A pair that begins with a zero byte ends the list.
    for (let pair = 0; pair < pairs && block[at + pair * 2 * FIELD] !== 0; pair += 1) {
      const place = at + pair * 2 * FIELD;
      numbers.push(numeric(block, place, FIELD), numeric(block, place + FIELD, FIELD));
    }
    requireLength(header, numbers.length);
    if (block[more] === 0) break;
    block = await nextBlock();
    ({ at, pairs, more } = BLOCK_MAP);
  }
  return mapOf(header, numbers, numeric(first, REAL_SIZE_AT, FIELD), header.size);
}

/** Version 1.0: decimal numbers with a line feed each, first how many segments there are, in whole blocks. */
async function mapBeforeData(
  header: TarHeader,
  size: number,
  nextBlock: () => Promise<Buffer>,
): Promise<SparseMap> {
  const numbers: number[] = [];
  let stored = header.size;
  let count = 1;
  let digits = '';
  while (numbers.length < count) {
    stored -= BLOCK;
    if (stored < 0) throw unreadable(header, 'whose map has no end');
    for (const byte of await nextBlock()) {
      if (byte !== 0x0a) {
        digits += String.fromCharCode(byte);
        if (digits.length > MAX_DIGITS) throw unreadable(header, 'whose map cannot be read');
        continue;
      }
      numbers.push(decimal(header, digits));
      digits = '';
      if (numbers.length === 1) count += 2 * (numbers[0] ?? 0);
      requireLength(header, count - 1);
      if (numbers.length === count) break;
    }
  }
  return mapOf(header, numbers.slice(1), size, stored);
}

/**
 * The map of a sparse file; null for every other entry.
 * @param block its header block
 * @param nextBlock reads a block after it, or throws
 * @throws `invalid_argument` for a map that describes no file
 */
export async function readSparseMap(
  header: TarHeader,
  block: Buffer,
  nextBlock: () => Promise<Buffer>,
): Promise<SparseMap | null> {
  const { type, sparse } = header;
  if (type === 'S') return mapOfBlocks(header, block, nextBlock);
  if (sparse === null) return null;
  if (type !== '0') throw unreadable(header, 'that is no file');
  const record = (name: string) => sparse.get(`GNU.sparse.${name}`);
  const version = `${record('major') ?? 0}.${record('minor') ?? 0}`;
  const size = () => decimal(header, record('realsize') ?? record('size'));
  if (version === '1.0') return mapBeforeData(header, size(), nextBlock);
  if (version !== '0.0' && version !== '0.1')
    throw unreadable(header, `of the unknown version ${printable(version)}`);
  const list = record('map') ?? '';
  const numbers = list === '' ? [] : list.split(',');
  if (numbers.length % 2 !== 0) throw unreadable(header, 'whose map cannot be read');
  return mapOf(
    header,
    numbers.map((digits) => decimal(header, digits)),
    size(),
    header.size,
  );
}
