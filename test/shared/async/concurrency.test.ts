import { describe, expect, it } from 'vitest';
import { KeyedLock } from '../../../src/shared/async/keyed-lock.ts';
import { mapConcurrent } from '../../../src/shared/async/map-concurrent.ts';
import { completesWithin, systemClock } from '../../../src/shared/clock.ts';

function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('KeyedLock', () => {
  it('runs tasks of one key in order, and of different keys concurrently', async () => {
    const lock = new KeyedLock();
    const events: string[] = [];
    const first = gate();
    const a = lock.run('a', async () => {
      await first.opened;
      events.push('a1');
    });
    const a2 = lock.run('a', async () => void events.push('a2'));
    await lock.run('b', async () => void events.push('b'));
    first.open();
    await Promise.all([a, a2]);
    expect(events).toEqual(['b', 'a1', 'a2']);
  });

  it('continues after a failure', async () => {
    const lock = new KeyedLock();
    const failed = lock.run('a', () => Promise.reject(new Error('no')));
    const next = lock.run('a', async () => 'yes');
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });
});

describe('mapBounded', () => {
  it('keeps the order and the bound', async () => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrent([5, 1, 4, 2, 3], 2, async (item) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < item; turn += 1) await Promise.resolve();
      running -= 1;
      return item * 10;
    });
    expect(results).toEqual([50, 10, 40, 20, 30]);
    expect(most).toBe(2);
  });

  it('starts nothing more after a failure', async () => {
    const started: number[] = [];
    const task = async (item: number): Promise<void> => {
      started.push(item);
      throw new Error('no');
    };
    await expect(mapConcurrent([1, 2, 3], 1, task)).rejects.toThrow('no');
    expect(started).toEqual([1]);
  });
});

describe('settledWithin', () => {
  it('distinguishes finished work from late work', async () => {
    expect(await completesWithin(systemClock, 10_000, Promise.resolve())).toBe(true);
    const keepsAlive = setInterval(() => {}, 10_000);
    expect(await completesWithin(systemClock, 1, new Promise(() => {}))).toBe(false);
    clearInterval(keepsAlive);
    await expect(completesWithin(systemClock, 10_000, Promise.reject(new Error('no')))).rejects.toThrow('no');
  });
});
