import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/shared/clock.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { FilesStore } from '../../../src/shared/store/files-store.ts';
import { Replica } from '../../../src/shared/store/replica.ts';

describe('a replica', () => {
  let store: FilesStore;
  let folder = '';
  const replicas: Replica[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'replica-'));
    store = new FilesStore(folder);
  });
  afterEach(async () => {
    await Promise.all(replicas.splice(0).map((replica) => replica.leave()));
    await rm(folder, { recursive: true });
  });

  function replica(now?: () => number): Replica {
    const times = { leaseMs: 60_000, renewalMs: 5, marginMs: 10_000 };
    const made = new Replica({
      store,
      log: createLogger('silent'),
      clock: systemClock,
      times,
      ...(now && { now }),
    });
    replicas.push(made);
    return made;
  }

  it('is found by the others from joining to leaving', async () => {
    const [one, other] = [replica(), replica()];
    await one.join('http://one');
    expect(await other.urlOf(one.id)).toBe('http://one');
    expect(one.isCurrent()).toBe(true);
    await one.leave();
    expect(await other.urlOf(one.id)).toBeNull();
  });

  it('stops acting before others may take over, and goes on as another one', async () => {
    let now = 0;
    const stopped = replica(() => now);
    let lost = 0;
    stopped.onLost(() => {
      lost += 1;
    });
    await stopped.join('http://one');
    const { id } = stopped;
    expect(stopped.isCurrent()).toBe(true);
    // As after SIGSTOP and SIGCONT.
    now = 50_001;
    expect(stopped.isCurrent()).toBe(false);
    while (!stopped.isCurrent()) await delay(2);
    expect([lost, stopped.id === id]).toEqual([1, false]);
    expect(await replica().urlOf(stopped.id)).toBe('http://one');
  });

  it('loses its lease once, however long the store does not answer', async () => {
    let now = 0;
    const one = replica(() => now);
    let lost = 0;
    one.onLost(() => {
      lost += 1;
    });
    await one.join('http://one');
    let requested = 0;
    store.hold = () => {
      requested += 1;
      return Promise.reject(new Error('The store is down.'));
    };
    now = 50_001;
    while (lost === 0) await delay(2);
    const before = requested;
    while (requested < before + 5) await delay(2);
    expect([lost, one.isCurrent()]).toEqual([1, false]);
  });

  it('may do nothing once it has left', async () => {
    const one = replica();
    await one.join('http://one');
    await one.leave();
    expect(one.isCurrent()).toBe(false);
  });
});
