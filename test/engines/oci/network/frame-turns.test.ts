import { PassThrough } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FRAMES_PER_TURN, FrameTurns } from '../../../../src/engines/oci/network/frame-turns.ts';
import { encodeFrame, encodeHeader, MAX_BODY } from '../../../../src/engines/oci/protocol/frames.ts';

const TYPE = 99;
const frameOf = (number: number) => encodeFrame(TYPE, Buffer.from([number >> 8, number & 0xff]));

/** The numbers of the frames handled so far. */
function handledFrom(stream: PassThrough): number[] {
  const handled: number[] = [];
  new FrameTurns(stream, ({ body }) => void handled.push(body.readUInt16BE()), fail);
  return handled;
}

function fail(error: unknown): never {
  throw error;
}

describe('frames', () => {
  it('are handled a few in each turn of the event loop, all of them in order', async () => {
    const stream = new PassThrough();
    const handled = handledFrom(stream);
    const count = 100 * FRAMES_PER_TURN + 3;
    const numbers = Array.from({ length: count }, (_, index) => index);
    stream.write(Buffer.concat(numbers.map(frameOf)));
    let turns = 0;
    for (let before = 0; handled.length < count; before = handled.length, turns++) {
      await nextTurn();
      expect(handled.length - before).toBeLessThanOrEqual(2 * FRAMES_PER_TURN);
    }
    expect(turns).toBeGreaterThan(40);
    expect(handled).toEqual(numbers);
  });

  it('keep their writer waiting while they wait', async () => {
    const stream = new PassThrough({ highWaterMark: 1_000 });
    const handled = handledFrom(stream);
    stream.write(Buffer.concat(Array.from({ length: 1_000 }, (_, index) => frameOf(index))));
    await nextTurn();
    expect(stream.isPaused()).toBe(true);
    expect(stream.write(Buffer.concat(Array.from({ length: 200 }, (_, index) => frameOf(index))))).toBe(
      false,
    );
    while (handled.length < 1_200) await nextTurn();
    await nextTurn();
    expect(stream.isPaused()).toBe(false);
  });

  it('may arrive in pieces', async () => {
    const stream = new PassThrough();
    const handled = handledFrom(stream);
    for (const byte of Buffer.concat([frameOf(1), frameOf(2)])) stream.write(Buffer.from([byte]));
    while (handled.length < 2) await nextTurn();
    expect(handled).toEqual([1, 2]);
  });

  it.each([
    ['too large', encodeHeader(TYPE, MAX_BODY + 1)],
    ['that the receiver rejects', encodeFrame(TYPE, Buffer.alloc(1))],
  ])('%s are reported once, in any turn, and nothing after them is handled', async (_, malformed) => {
    for (const before of [0, FRAMES_PER_TURN + 1]) {
      const stream = new PassThrough();
      const handled: number[] = [];
      const errors: unknown[] = [];
      new FrameTurns(
        stream,
        ({ body }) => void handled.push(body.readUInt16BE()),
        (error) => errors.push(error),
      );
      const good = Array.from({ length: before }, (_, index) => frameOf(index));
      stream.write(Buffer.concat([...good, malformed, frameOf(1)]));
      while (errors.length === 0) await nextTurn();
      stream.write(frameOf(2));
      await nextTurn();
      await nextTurn();
      expect({ handled: handled.length, errors: errors.length }).toEqual({ handled: before, errors: 1 });
      expect(stream.isPaused()).toBe(false);
    }
  });
});
