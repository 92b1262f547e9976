import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { DiskWatch } from '../../../../src/engines/oci/storage/disk-watch.ts';

const MIB = 1_048_576;
const log = pino({ level: 'silent' });

/** A simulated file system that records its calls. */
class World {
  freeMb = 1_000;
  freeFiles = 1_000_000;
  used = new Map<string, number | null>();
  files = new Map<string, number>();
  walks: string[] = [];
  ended: string[] = [];
  failing = false;
  readonly watch = new DiskWatch(
    {
      free: async () => ({ bytes: this.freeMb * MIB, files: this.freeFiles }),
      used: async (id) => {
        this.walks.push(id);
        if (this.failing) throw new Error('du failed');
        const used = this.used.get(id);
        return used === undefined || used === null
          ? null
          : { bytes: used * MIB, files: this.files.get(id) ?? 0 };
      },
      end: async (id, used) => {
        this.ended.push(`${id} ${used / MIB}`);
      },
    },
    log,
  );
}

let world: World;
afterEach(() => world.watch.close());

describe('the disk usage watch', () => {
  it('scans only when the free space shows that a limit may be exceeded', async () => {
    world = new World();
    world.used.set('a', 10);
    world.watch.watch('a', 100);
    await world.watch.check();
    expect(world.walks).toEqual(['a']);
    world.freeMb = 910;
    await world.watch.check();
    expect(world.walks).toEqual(['a']);
    world.freeMb = 909;
    await world.watch.check();
    expect(world.walks).toEqual(['a', 'a']);
    expect(world.ended).toEqual([]);
  });

  it('scans a new sandbox only when free space has fallen by what it may take', async () => {
    world = new World();
    world.used.set('a', 101);
    await world.watch.watchNew('a', 100);
    await world.watch.watchNew('unlimited', null);
    world.freeMb -= 98;
    await world.watch.check();
    expect(world.walks).toEqual([]);
    world.freeMb -= 1;
    await world.watch.check();
    expect(world.ended).toEqual(['a 101']);
  });

  it('scans a new sandbox at every thirtieth check too', async () => {
    world = new World();
    world.used.set('a', 10);
    await world.watch.watchNew('a', 100);
    for (let check = 0; check < 30; check += 1) await world.watch.check();
    expect(world.walks).toEqual(['a']);
  });

  it('scans every thirtieth time regardless: others may have freed space', async () => {
    world = new World();
    world.used.set('a', 10);
    world.watch.watch('a', 100);
    for (let check = 0; check < 31; check += 1) await world.watch.check();
    expect(world.walks).toEqual(['a', 'a']);
  });

  it('ends a sandbox over its limit, once, and nothing else', async () => {
    world = new World();
    for (const [id, used] of [['a', 100] as const, ['b', 101] as const]) {
      world.used.set(id, used);
      world.watch.watch(id, 100);
    }
    world.watch.watch('unlimited', null);
    for (let check = 0; check < 40; check += 1) await world.watch.check();
    expect(world.ended).toEqual(['b 101']);
    expect(world.walks).not.toContain('unlimited');
  });

  it('counts at least 4 KiB per file: a disk holds a limited number of files', async () => {
    world = new World();
    world.used.set('a', 1);
    world.watch.watch('a', 100);
    await world.watch.check();
    world.freeFiles -= 25_000;
    await world.watch.check();
    expect(world.walks).toEqual(['a']);
    world.freeFiles -= 1_000;
    world.files.set('a', 26_000);
    await world.watch.check();
    expect(world.walks).toEqual(['a', 'a']);
    expect(world.ended).toEqual(['a 101.5625']);
  });

  it('treats an unmeasurable sandbox as over its limit', async () => {
    world = new World();
    world.used.set('a', Number.POSITIVE_INFINITY);
    world.watch.watch('a', 100);
    await world.watch.check();
    expect(world.ended).toEqual(['a Infinity']);
  });

  it('forgets a sandbox on request', async () => {
    world = new World();
    world.used.set('a', 101);
    world.watch.watch('a', 100);
    world.watch.unwatch('a');
    await world.watch.check();
    expect(world.walks).toEqual([]);
  });

  it('forgets a sandbox that has ended', async () => {
    world = new World();
    world.used.set('a', null);
    world.watch.watch('a', 100);
    for (let check = 0; check < 40; check += 1) await world.watch.check();
    expect(world.walks).toEqual(['a']);
  });

  it('retries after a failed scan', async () => {
    world = new World();
    world.used.set('a', 101);
    world.watch.watch('a', 100);
    world.failing = true;
    await world.watch.check();
    expect(world.ended).toEqual([]);
    world.failing = false;
    await world.watch.check();
    expect(world.ended).toEqual(['a 101']);
  });
});
