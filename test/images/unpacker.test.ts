/** Writing to a process that reads slowly, or not at all. */
import { Writable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { Unpacker } from '../../src/images/unpacker.ts';

const slowly = () =>
  new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void setImmediate(done) });
const OUTCOME = { exitCode: 0, output: '0\n', errors: '' };

function ending() {
  let resolve = (_: typeof OUTCOME): void => {};
  const ended = new Promise<typeof OUTCOME>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { ended, end: resolve };
}

/** More than fits in a batch, so that it is written at once. */
const LARGE = { kind: 'file', path: 'f', size: 200_000 } as const;
const CONTENT = Buffer.alloc(LARGE.size, 'x');

describe('writing to the unpacker process', () => {
  it('leaks nothing per write that had to wait', async () => {
    const { ended, end } = ending();
    const then = vi.spyOn(ended, 'then');
    const unpacker = new Unpacker({ stdin: slowly(), ended, kill: () => end(OUTCOME) });
    for (let n = 0; n < 100; n += 1) await unpacker.step(LARGE, [CONTENT]);
    expect(then.mock.calls.length).toBeLessThanOrEqual(1);
    await unpacker.close();
  });

  it.each(['ends', 'closes its input'])('fails when the process %s while a write waits', async (how) => {
    const { ended, end } = ending();
    const stdin = new Writable({ highWaterMark: 1, write: () => undefined });
    const unpacker = new Unpacker({ stdin, ended, kill: () => undefined });
    const step = unpacker.step(LARGE, [CONTENT]);
    if (how !== 'ends') stdin.destroy(new Error('EPIPE'));
    end({ ...OUTCOME, exitCode: 1, errors: 'd: No space left on device' });
    await expect(step).rejects.toMatchObject({ message: expect.stringContaining('No space left') });
    await unpacker.close();
  });

  it('passes many small entries and their content on together, in order', async () => {
    const { ended, end } = ending();
    const written: Buffer[] = [];
    const stdin = new Writable({
      write(chunk: Buffer, _encoding, done) {
        written.push(chunk);
        done();
      },
    });
    const unpacker = new Unpacker({ stdin, ended, kill: () => undefined });
    for (let n = 0; n < 1_000; n += 1) await unpacker.file(`f${n}`, `content ${n};`);
    await unpacker.step(LARGE, [CONTENT]);
    await unpacker.file('last', 'content of the last;');
    end(OUTCOME);
    expect(await unpacker.finish()).toBe(0);
    expect(written.length).toBeLessThan(5);
    const all = Buffer.concat(written).toString('latin1');
    const order = [
      'content 0;',
      'f1',
      'content 1;',
      'f999',
      'content 999;',
      String(CONTENT),
      'content of the last;',
    ];
    expect(order.map((part) => all.indexOf(part))).toEqual(
      order.map((part) => all.indexOf(part)).sort((a, b) => a - b),
    );
    expect(all.length).toBe(unpacker.sizeBytes + names(1_000) + 'f'.length + 'last'.length + 1_003 * 40);
  });
});

/** The length of the names `f0`, `f1`, … */
function names(count: number): number {
  return Array.from({ length: count }, (_, n) => `f${n}`).join('').length;
}
