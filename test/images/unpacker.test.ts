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

describe('writing to the unpacker process', () => {
  it('leaks nothing per write that had to wait', async () => {
    const { ended, end } = ending();
    const then = vi.spyOn(ended, 'then');
    const unpacker = new Unpacker({ stdin: slowly(), ended, kill: () => end(OUTCOME) });
    for (let n = 0; n < 100; n += 1) await unpacker.step({ kind: 'directory', path: `d${n}` });
    expect(then.mock.calls.length).toBeLessThanOrEqual(1);
    await unpacker.close();
  });

  it.each(['ends', 'closes its input'])('fails when the process %s while a write waits', async (how) => {
    const { ended, end } = ending();
    const stdin = new Writable({ highWaterMark: 1, write: () => undefined });
    const unpacker = new Unpacker({ stdin, ended, kill: () => undefined });
    const step = unpacker.step({ kind: 'directory', path: 'd' });
    if (how !== 'ends') stdin.destroy(new Error('EPIPE'));
    end({ ...OUTCOME, exitCode: 1, errors: 'd: No space left on device' });
    await expect(step).rejects.toMatchObject({ message: expect.stringContaining('No space left') });
    await unpacker.close();
  });
});
