/**
 * The size of an image from its first bytes, as decoders find it: a file must not show this server another size than
 * a model's provider sees. The formats are those that models accept. All throw or return null for a damaged header.
 */
import { PNG } from 'image-size/types/png';
import { WEBP } from 'image-size/types/webp';

/** Pixels. */
interface Size {
  width: number;
  height: number;
}

interface Format {
  mimeType: 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp';
  minBytes: number;
  isFormat(data: Buffer): boolean;
  size(data: Buffer): Size | null;
}

/** Each parser is imported separately, so that no other one reads untrusted bytes. */
export const FORMATS: readonly Format[] = [
  {
    mimeType: 'image/png',
    minBytes: 33,
    // Nothing but Apple's own decoders reads files that start with another chunk.
    isFormat: (data) => PNG.validate(data) && textAt(data, 12, 4) === 'IHDR',
    size: PNG.calculate,
  },
  { mimeType: 'image/jpeg', minBytes: 4, isFormat: (data) => data.readUInt16BE() === 0xffd8, size: jpegSize },
  {
    mimeType: 'image/gif',
    minBytes: 10,
    isFormat: (data) => ['GIF87a', 'GIF89a'].includes(textAt(data, 0, 6)),
    size: gifSize,
  },
  { mimeType: 'image/webp', minBytes: 30, isFormat: WEBP.validate, size: WEBP.calculate },
];

function textAt(data: Buffer, start: number, length: number): string {
  return data.toString('latin1', start, start + length);
}

/**
 * Of the first frame header. As libjpeg does, skips what precedes a marker, and any number of 0xff before its code:
 * a parser that did not would take the size from a header that decoders never reach.
 */
function jpegSize(data: Buffer): Size | null {
  for (let at = 2; ; ) {
    while (data.readUInt8(at) !== 0xff) at++;
    while (data.readUInt8(at) === 0xff) at++;
    const marker = data.readUInt8(at++);
    // Baseline, extended and progressive; all others are rare, and few decoders read them.
    if (marker >= 0xc0 && marker <= 0xc2) {
      return { height: data.readUInt16BE(at + 3), width: data.readUInt16BE(at + 5) };
    }
    if (isOtherFrame(marker) || marker === 0xd8 || marker === 0xd9 || marker === 0xda) return null;
    // An escaped 0xff, TEM and RST0 to RST7 have no segment.
    if (marker > 0x01 && (marker < 0xd0 || marker > 0xd7)) at += Math.max(2, data.readUInt16BE(at));
  }
}

/** A frame of another kind; 0xc4, 0xc8 and 0xcc are no frames. */
function isOtherFrame(marker: number): boolean {
  return marker >= 0xc3 && marker <= 0xcf && marker % 4 !== 0;
}

/** Of the screen, or of the first frame where that is larger: decoders make room for it. */
function gifSize(data: Buffer): Size | null {
  const screen = { width: data.readUInt16LE(6), height: data.readUInt16LE(8) };
  const flags = data.readUInt8(10);
  for (let at = 13 + ((flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 7) + 1)); ; ) {
    const block = data.readUInt8(at);
    if (block === 0x2c) {
      const [left, top, width, height] = [1, 3, 5, 7].map((offset) => data.readUInt16LE(at + offset));
      return {
        width: Math.max(screen.width, (left ?? 0) + (width ?? 0)),
        height: Math.max(screen.height, (top ?? 0) + (height ?? 0)),
      };
    }
    if (block !== 0x21) return null;
    at += 2;
    while (data.readUInt8(at) > 0) at += 1 + data.readUInt8(at);
    at++;
  }
}
