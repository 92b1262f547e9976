import { describe, expect, it } from 'vitest';
import { imageInfo, readImage } from '../../../tools/files/image-file.ts';
import { neverAborted, rejection } from '../../registry/support/registry.ts';

const MAX_SIDE = 2_000;
const MAX_BYTES = 3_750_000;

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const be = (value: number, length: number): string => value.toString(16).padStart(2 * length, '0');
const le = (value: number, length: number): string => {
  const number = Buffer.alloc(length);
  number.writeUIntLE(value, 0, length);
  return number.toString('hex');
};

const frame = (marker: string, width: number, height: number): string =>
  `ff${marker} 0011 08 ${be(height, 2)} ${be(width, 2)} 03 01 2200 021101 031101`;
const APP0 = 'ffe0 0010 4a464946 00 0101 00 0001 0001 0000';
const SCAN = 'ffda 0008 01 0100 003f00';
const gifFrame = (left: number, top: number, width: number, height: number): string =>
  `2c ${[left, top, width, height].map((value) => le(value, 2)).join('')} 00`;
const COMMENT = '21fe 05 2c2c2c2c2c 00';

/** The first bytes of an image of each format. */
const MAKERS = {
  'image/png': (width: number, height: number) =>
    bytes(`89504e470d0a1a0a 0000000d 49484452 ${be(width, 4)} ${be(height, 4)} 08060000 00 00000000`),
  'image/gif': (width: number, height: number) =>
    bytes(`474946383961 ${le(width, 2)} ${le(height, 2)} 00 0000 ${COMMENT} ${gifFrame(0, 0, 1, 1)}`),
  'image/webp': (width: number, height: number) =>
    bytes(
      `52494646 1a000000 57454250 56503858 0a000000 00000000 ${le(Math.max(width - 1, 0), 3)} ${le(height - 1, 3)}`,
    ),
  'image/jpeg': (width: number, height: number) => bytes(`ffd8 ${APP0} ${frame('c0', width, height)}`),
} as const;
const FORMATS = Object.entries(MAKERS);

describe('imageInfo', () => {
  it.each(FORMATS)('reads the size of %s from its header', (mimeType, make) => {
    for (const [width, height] of [
      [640, 480],
      [1, 16_384],
    ] as const)
      expect(imageInfo(make(width, height))).toEqual({ mimeType, width, height });
  });

  it('does not recognize other files, or images truncated at any byte', () => {
    expect(imageInfo(Buffer.from('<svg width="1" height="1"/>'))).toBeNull();
    expect(imageInfo(Buffer.from('RIFF\0\0\0\0WAVEfmt and more than thirty bytes'))).toBeNull();
    for (const [, make] of FORMATS) {
      const data = make(640, 480);
      expect(imageInfo(Buffer.concat([data.subarray(0, 10), Buffer.alloc(40)]))).toBeNull();
      for (let end = 0; end < data.length - 12; end++) expect(imageInfo(data.subarray(0, end))).toBeNull();
    }
  });

  it.each<[string, Buffer]>([
    ['a PNG without width', MAKERS['image/png'](0, 480)],
    ['a GIF without height', bytes('474946383961 8002 0000 00 0000 2c 0000 0000 0100 0000 00')],
    ['a GIF without a frame', bytes(`474946383961 8002 e001 00 0000 ${COMMENT} 3b`)],
    ['a JPEG of which only the scan gives the height', MAKERS['image/jpeg'](640, 0)],
    ['a JPEG without a frame before its scan', bytes(`ffd8 ${SCAN} ${frame('c0', 640, 480)}`)],
    ['a JPEG whose frame is after its end', bytes(`ffd8 ${APP0} ffd9 ${frame('c0', 640, 480)}`)],
    [
      'a PNG that starts with another chunk',
      bytes(
        '89504e470d0a1a0a 00000004 43674249 50002002 00000000 0000000d 49484452 00000280 000001e0 08060000',
      ),
    ],
    [
      'a WebP with reserved flags',
      bytes('52494646 1a000000 57454250 56503858 0a000000 c1000000 7f0200 df0100'),
    ],
  ])('takes %s for no image', (_, data) => {
    expect(imageInfo(data)).toBeNull();
  });

  it.each(['c3', 'c5', 'c9', 'ca', 'cf'])('takes a JPEG with a frame of kind %s for no image', (kind) => {
    const data = bytes(`ffd8 ${frame(kind, 640, 480)} ${SCAN} ffd9 ${frame('c0', 1, 1)}`);
    expect(imageInfo(data)).toBeNull();
  });

  it('takes the size of a JPEG from its first frame, as decoders do', () => {
    const large = frame('c2', 60_000, 50_000);
    const later = frame('c0', 1, 1);
    const inComment = `fffe 0015 ${later}`;
    for (const before of ['', 'ff', 'ffffff', '0102', 'ff00', 'ff01', 'ffd0', inComment, 'ffdb 0000'])
      expect(imageInfo(bytes(`ffd8 ${before} ${large} ${later} ffd9`)), before).toMatchObject({
        width: 60_000,
        height: 50_000,
      });
  });

  it('takes the size of a GIF from its first frame, if that is larger than the screen', () => {
    const screen = 'f7 0000';
    const colours = 'ff'.repeat(768);
    const gif = (descriptor: string) =>
      imageInfo(bytes(`474946383761 0100 0100 ${screen} ${colours} ${COMMENT} ${descriptor}`));
    expect(gif(gifFrame(0, 0, 60_000, 1))).toMatchObject({ width: 60_000, height: 1 });
    expect(gif(gifFrame(1, 65_535, 1, 65_535))).toMatchObject({ width: 2, height: 131_070 });
  });

  it('terminates on arbitrary bytes after the start of an image', () => {
    for (const start of [
      'ffd8 ffe1 0002',
      '474946383961 8002 e001 000000 21ff',
      '474946383961 8002 e001 000000',
    ])
      for (const filler of ['00', 'ff', 'ffe10008457869660000', 'ffe1ffff', '0001ff', '21fe0100', '21']) {
        const data = Buffer.concat([bytes(start), Buffer.alloc(4_000_000, bytes(filler))]);
        expect(imageInfo(data)).toBeNull();
      }
  });
});

/** A sandbox whose only file has this content; `sizeBytes` is what its size is said to be. */
function fileOf(content: Buffer, sizeBytes = content.length) {
  const read = async (path: string, _cwd: string | null, range: { offset: number; limit: number }) => ({
    path,
    sizeBytes,
    data: content.subarray(range.offset, range.offset + range.limit),
  });
  return { files: { read } };
}

const filled = (header: Buffer, length: number): Buffer =>
  Buffer.concat([header, Buffer.alloc(length - header.length)]);

describe.each(FORMATS)('an image that is shown, %s', (mimeType, make) => {
  it('has so many bytes at most', async () => {
    const data = filled(make(640, 480), MAX_BYTES);
    const shown = await readImage(fileOf(data), { path: 'a' }, neverAborted);
    expect(shown).toMatchObject({ mimeType, width: 640, height: 480 });
    expect(shown?.data.equals(data)).toBe(true);
    const larger = filled(make(640, 480), MAX_BYTES + 1);
    // Also of a file that grows while it is read.
    for (const file of [fileOf(larger), fileOf(larger, MAX_BYTES), fileOf(make(640, 480), MAX_BYTES + 1)]) {
      const reading = readImage(file, { path: 'a' }, neverAborted);
      expect(await rejection(reading)).toMatchObject({ code: 'invalid_argument' });
    }
  });

  it('has so many pixels a side at most, and an answer that says how to scale it down', async () => {
    const read = (width: number, height: number) =>
      readImage(fileOf(filled(make(width, height), 100)), { path: 'a' }, neverAborted);
    expect(await read(MAX_SIDE, MAX_SIDE)).toMatchObject({ width: MAX_SIDE, height: MAX_SIDE });
    for (const [width, height] of [
      [MAX_SIDE + 1, 1],
      [1, MAX_SIDE + 1],
      [65_535, 65_535],
    ] as const) {
      const { code, message, hint } = await rejection(read(width, height));
      expect([code, message]).toEqual([
        'invalid_argument',
        expect.stringContaining(`an image of ${width} × ${height} pixels and 100 bytes; at most 2000 pixels`),
      ]);
      expect(hint).toContain('Scale it down inside');
    }
  });
});
