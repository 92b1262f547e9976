import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prefetch } from '../../../tools/common/prefetch.ts';
import { Background, FileWriter, type Sink } from '../../../tools/transfers/write-behind.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Work that the test completes. */
function held(): { promise: Promise<void>; end: () => void; fail: (error: Error) => void } {
  let end = (): void => {};
  let fail = (_error: Error): void => {};
  const promise = new Promise<void>((resolve, reject) => {
    end = resolve;
    fail = reject;
  });
  return { promise, end, fail };
}

describe('tasks in the background', () => {
  it('are limited in number, and the next call reports the first failure', async () => {
    const background = new Background(2);
    const [first, second] = [held(), held()];
    const started: string[] = [];
    await background.add(() => first.promise);
    await background.add(() => second.promise);
    const third = background.add(async () => {
      started.push('third');
    });
    expect(started).toEqual([]);
    first.end();
    await third;
    expect(started).toEqual(['third']);
    second.fail(new Error('full'));
    await background.settled();
    const never = async (): Promise<void> => {
      started.push('never');
    };
    await expect(background.add(never)).rejects.toThrow('full');
    await expect(background.done()).rejects.toThrow('full');
    expect(started).toEqual(['third']);
  });
});

describe('a file that is written in the background', () => {
  it('contains every byte in order, whatever its pieces are', async () => {
    const path = join(await temporaryFolder(), 'f');
    const writer = new FileWriter(() => open(path, 'wx'));
    const pieces = [700_000, 1, 400_000, 2_500_000, 0, 3].map((size, index) => Buffer.alloc(size, index + 1));
    for (const piece of pieces) await writer.add(piece);
    expect(writer.idle).toBe(false);
    await writer.finish();
    expect((await readFile(path)).equals(Buffer.concat(pieces))).toBe(true);
  });

  it.each([
    ['before its data', [0, 0, 1]],
    ['between', [1, 0, 1]],
    ['behind', [1, 0, 0]],
    ['and nothing else', [0, 0, 0]],
  ])('has holes %s for zeros, and contains every byte', async (_where, batches) => {
    const path = join(await temporaryFolder(), 'f');
    const writer = new FileWriter(() => open(path, 'wx'));
    const pieces = [
      ...batches.map((fill) => Buffer.alloc(1_048_576, fill)),
      Buffer.alloc(10, batches.at(-1)),
    ];
    for (const piece of pieces) await writer.add(piece);
    await writer.finish();
    expect((await readFile(path)).equals(Buffer.concat(pieces))).toBe(true);
    expect((await stat(path)).blocks * 512).toBeLessThan(1_500_000 * (batches.filter(Boolean).length + 0.1));
  });

  it('continues after a short write', async () => {
    const path = join(await temporaryFolder(), 'f');
    const file = await open(path, 'wx');
    let calls = 0;
    const sink: Sink = {
      writev: (buffers, position) => {
        calls += 1;
        if (calls > 1) return file.writev(buffers, position);
        const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = buffers;
        return file.writev([first, second.subarray(0, 2)], position);
      },
      truncate: (length) => file.truncate(length),
      utimes: (atime, mtime) => file.utimes(atime, mtime),
      close: () => file.close(),
    };
    const writer = new FileWriter(async () => sink);
    for (const piece of ['abcd', 'efgh', 'ij']) await writer.add(Buffer.from(piece));
    await writer.finish();
    expect([calls, await readFile(path, 'utf8')]).toEqual([2, 'abcdefghij']);
  });

  it('reports a failed write, and is closed', async () => {
    const path = join(await temporaryFolder(), 'f');
    await (await open(path, 'wx')).close();
    const file = await open(path, 'r');
    const writer = new FileWriter(async () => file);
    await writer.add(Buffer.from('x'));
    await expect(writer.finish()).rejects.toMatchObject({ code: 'EBADF' });
    expect(file.fd).toBe(-1);
  });
});

describe('prefetching', () => {
  it('keeps the order and the limit, and reports a failure in its turn', async () => {
    const begun: number[] = [];
    const seen: number[] = [];
    const run = async (): Promise<void> => {
      const work = async (item: number): Promise<number> => {
        begun.push(item);
        if (item === 3) throw new Error('third');
        return item * 10;
      };
      for await (const [item, result] of prefetch([1, 2, 3, 4, 5, 6], work, 2)) {
        expect(begun.length).toBeLessThanOrEqual(item + 1);
        seen.push(result);
      }
    };
    await expect(run()).rejects.toThrow('third');
    expect(seen).toEqual([10, 20]);
  });

  it('ends when the iteration is left', async () => {
    const slow = held();
    let ended = false;
    const work = async (item: number): Promise<void> => {
      if (item === 1) return;
      await slow.promise;
      ended = true;
    };
    const iteration = prefetch([1, 2], work, 2);
    await iteration.next();
    const left = iteration.return(undefined);
    slow.end();
    await left;
    expect(ended).toBe(true);
  });
});
