import { describe, expect, it } from 'vitest';
import { imageInfo } from '../../../tools/files/image-file.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

const PNG = bytes('89504e470d0a1a0a 0000000d 49484452 00000280 000001e0 08060000 00 00000000');
const GIF = bytes('474946383961 8002 e001 f70000');
const WEBP = bytes('52494646 1a000000 57454250 56503858 0a000000 00000000 7f0200 df0100');
const SOF = 'ffc0 0011 08 01e0 0280 03 01 2200 021101 031101';
const JPEG = bytes(`ffd8 ffe0 0010 4a464946 00 0101 00 0001 0001 0000 ${SOF}`);
const SIZE = { width: 640, height: 480 };

describe('imageInfo', () => {
  it.each([
    ['image/png', PNG],
    ['image/gif', GIF],
    ['image/webp', WEBP],
    ['image/jpeg', JPEG],
  ])('reads the size of %s from its header', (mimeType, data) => {
    expect(imageInfo(data)).toEqual({ mimeType, ...SIZE });
  });

  it('does not recognize other files, or images truncated at any byte', () => {
    expect(imageInfo(Buffer.from('<svg width="1" height="1"/>'))).toBeNull();
    expect(imageInfo(Buffer.from('RIFF\0\0\0\0WAVEfmt and more than thirty bytes'))).toBeNull();
    expect(imageInfo(Buffer.concat([PNG.subarray(0, 16), Buffer.alloc(17)]))).toBeNull();
    for (const data of [PNG, GIF, WEBP, JPEG]) {
      for (let end = 0; end < 10; end++) expect(imageInfo(data.subarray(0, end))).toBeNull();
    }
  });

  it('terminates on arbitrary bytes after the signature of a JPEG', () => {
    const start = bytes('ffd8 ffe1 0002');
    for (const filler of ['00', 'ff', 'ffe10008457869660000', 'ffe1ffff', '0001ff']) {
      const data = Buffer.concat([start, Buffer.alloc(4_000_000, bytes(filler))]);
      expect(imageInfo(data)).toBeNull();
    }
  });
});
