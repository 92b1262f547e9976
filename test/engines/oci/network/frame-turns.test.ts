import { PassThrough } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { FRAMES_PER_TURN, FrameTurns } from '../../../../src/engines/oci/network/frame-turns.ts';
import { encodeFrame } from '../../../../src/engines/oci/protocol/frames.ts';

const TYPE = 99;
const frameOf = (number: number) => encodeFrame(TYPE, Buffer.from([number >> 8, number & 0xff]));

/** The numbers of the frames handled so far. */
function handledFrom(stream: PassThrough): number[] {
  const handled: number[] = [];
  new FrameTurns(stream, ({ body }) => void handled.push(body.readUInt16BE()));
  return handled;
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
});
