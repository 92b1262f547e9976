/** What every store promises, whatever it keeps its texts in. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { change, type Store } from '../../../src/shared/store/store.ts';

/** @param open the same store each time, as another replica opens it */
export function describeStore(name: string, open: () => Promise<Store>): void {
  describe(`a store in ${name}`, () => {
    it('keeps texts by collection and id, for everybody', async () => {
      const [one, other] = [await open(), await open()];
      const odd = 'a/b: ü "%"\n';
      expect(await one.read('texts', 'x')).toBeNull();
      expect(await one.swap('texts', 'x', null, odd)).toBe(true);
      expect(await one.swap('texts', odd, null, '')).toBe(true);
      expect(await other.read('texts', 'x')).toBe(odd);
      expect(await other.all('texts')).toEqual(
        new Map([
          ['x', odd],
          [odd, ''],
        ]),
      );
      expect((await other.ids('texts')).sort()).toEqual([odd, 'x'].sort());
      expect(await other.all('others')).toEqual(new Map());
      await other.drop('texts');
      expect(await one.ids('texts')).toEqual([]);
      await Promise.all([one.close(), other.close()]);
    });

    it('swaps a text only for the one that it was', async () => {
      const store = await open();
      expect(await store.swap('swaps', 'x', 'a', 'b')).toBe(false);
      expect(await store.swap('swaps', 'x', null, '')).toBe(true);
      expect(await store.swap('swaps', 'x', null, 'b')).toBe(false);
      expect(await store.swap('swaps', 'x', '', 'b')).toBe(true);
      expect(await store.swap('swaps', 'x', 'a', null)).toBe(false);
      expect(await store.swap('swaps', 'x', 'b', null)).toBe(true);
      expect(await store.read('swaps', 'x')).toBeNull();
      await store.close();
    });

    it('loses no change of many at a time', async () => {
      const stores = await Promise.all([open(), open(), open()]);
      const add = (store: Store) => change(store, 'counts', 'x', (text) => String(Number(text ?? 0) + 1));
      await Promise.all(stores.flatMap((store) => Array.from({ length: 10 }, () => add(store))));
      expect(await stores[0]?.read('counts', 'x')).toBe('30');
      await Promise.all(stores.map((store) => store.close()));
    });

    it('gives a lease to one holder until it runs out or is given back', async () => {
      const [one, other] = [await open(), await open()];
      expect(await one.hold('lease', 'one', 60_000)).toBe(true);
      expect(await other.hold('lease', 'other', 60_000)).toBe(false);
      expect(await other.holder('lease')).toBe('one');
      await other.release('lease', 'other');
      expect(await one.hold('lease', 'one', 60_000)).toBe(true);
      await one.release('lease', 'one');
      expect(await other.holder('lease')).toBeNull();
      expect(await other.hold('lease', 'other', 5)).toBe(true);
      while ((await one.holder('lease')) !== null) await delay(2);
      expect(await one.hold('lease', 'one', 60_000)).toBe(true);
      await one.release('lease', 'one');
      await Promise.all([one.close(), other.close()]);
    });
  });
}
