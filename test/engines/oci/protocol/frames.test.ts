import { describe, expect, it } from 'vitest';
import {
  encodeFrame,
  encodeHeader,
  FRAME,
  FrameParser,
  MAX_BODY,
} from '../../../../src/engines/oci/protocol/frames.ts';

/** The output for a stream that arrives in pieces of this size; consecutive `DATA` is joined. */
function parsed(stream: Buffer, size: number): [type: number, body: string][] {
  const parser = new FrameParser();
  const frames: [number, string][] = [];
  for (let at = 0; at < stream.length; at += size) {
    parser.feed(stream.subarray(at, at + size));
    for (let frame = parser.take(); frame !== null; frame = parser.take()) {
      const last = frames.at(-1);
      if (frame.type === FRAME.DATA && last?.[0] === FRAME.DATA) last[1] += frame.body;
      else frames.push([frame.type, String(frame.body)]);
    }
  }
  expect(parser.length).toBe(0);
  return frames;
}

describe('the frame parser', () => {
  const stream = Buffer.concat([
    encodeFrame(FRAME.ENTRY, Buffer.from('head')),
    encodeFrame(FRAME.DATA, Buffer.from('first, ')),
    encodeFrame(FRAME.DATA),
    encodeFrame(FRAME.DATA, Buffer.from('second')),
    encodeFrame(FRAME.END),
    encodeFrame(FRAME.OK, Buffer.from('fields')),
  ]);

  it.each([1, 2, 3, 5, 6, 7, 11, 1_000])('returns the same frames for chunks of %d bytes', (size) => {
    expect(parsed(stream, size)).toEqual([
      [FRAME.ENTRY, 'head'],
      [FRAME.DATA, 'first, second'],
      [FRAME.END, ''],
      [FRAME.OK, 'fields'],
    ]);
  });

  it('emits DATA before all of it has arrived, without copying', () => {
    const parser = new FrameParser();
    const piece = Buffer.from('begun');
    parser.feed(encodeHeader(FRAME.DATA, 10));
    parser.feed(piece);
    expect(parser.take()?.body.buffer).toBe(piece.buffer);
    expect(parser.take()).toBeNull();
    parser.feed(Buffer.from('ended!'));
    expect(String(parser.take()?.body)).toBe('ended');
    expect(String(parser.rest())).toBe('!');
  });

  it('rejects oversized frames by their header', () => {
    for (const type of [FRAME.DATA, FRAME.ENTRY]) {
      const parser = new FrameParser();
      parser.feed(encodeHeader(type, MAX_BODY + 1));
      expect(() => parser.take()).toThrow('violated the protocol: a frame of 2097153 bytes');
    }
  });
});
