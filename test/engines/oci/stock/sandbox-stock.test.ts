import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { SandboxRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { SandboxStock, type StockMaker } from '../../../../src/engines/oci/stock/sandbox-stock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { FakeClock, LogLines } from '../../../registry/support/registry.ts';
import { exampleRecord } from '../support/example-record.ts';

const IDLE_MS = 500;

function stocked(sandboxId: string, vcpus: number, createdAt: number): SandboxRecord {
  return { ...exampleRecord(sandboxId), runtime: '.stock', vcpus, createdAt };
}

/** A stock whose sandboxes exist only here. */
function openStock(size: number) {
  const clock = new FakeClock();
  const log = new LogLines();
  const alive = new Set<string>();
  const dead = new Set<string>();
  const busy = new Set<string>();
  const ends = new Map<string, () => void>();
  const shapes: unknown[] = [];
  const made: string[] = [];
  let failure: Error | null = null;
  const maker: StockMaker = {
    boot: async (sandboxId, shape, _signal, onEnd) => {
      // As much of it exists as after a boot that failed half-way.
      alive.add(sandboxId);
      if (failure !== null) throw failure;
      made.push(sandboxId);
      shapes.push(shape);
      ends.set(sandboxId, onEnd);
      return stocked(sandboxId, shape.vcpus, clock.now());
    },
    remove: async (sandboxId) => {
      await turn();
      if (busy.has(sandboxId)) throw new Error('busy');
      alive.delete(sandboxId);
    },
    isAlive: ({ sandboxId }) => !dead.has(sandboxId),
  };
  const stock = new SandboxStock(size, maker, createLogger('debug', log), clock);
  return {
    stock,
    alive,
    log,
    busy,
    shapes,
    die: (sandboxId = '') => dead.add(sandboxId),
    /** As `die`, and it is noticed. */
    end(sandboxId = ''): void {
      dead.add(sandboxId);
      ends.get(sandboxId)?.();
    },
    fail: (error: Error | null) => {
      failure = error;
    },
    made,
    async create(vcpus = 1): Promise<void> {
      await stock.during(async () => stock.want({ vcpus }));
    },
    async idle(ms = IDLE_MS): Promise<void> {
      clock.advance(ms);
      for (let turns = 0; turns < 5; turns++) await turn();
    },
  };
}

describe('the stock', () => {
  it('is empty until a create has shown what is wanted, and is filled when calls have ended for a while', async () => {
    const { stock, create, idle, made } = openStock(1);
    await stock.during(async () => {});
    await idle();
    expect(made).toHaveLength(0);
    await create();
    await idle(IDLE_MS - 1);
    expect(made).toHaveLength(0);
    await idle(1);
    expect(made).toHaveLength(1);
    await stock.during(async () => {});
    await idle();
    expect(made).toHaveLength(1);
  });

  it('boots nothing while a call is running', async () => {
    const { stock, create, idle, made } = openStock(1);
    await create();
    let end = (): void => {};
    const call = stock.during(() => new Promise<void>((resolve) => (end = resolve)));
    await idle(10 * IDLE_MS);
    expect(made).toHaveLength(0);
    end();
    await call;
    await idle();
    expect(made).toHaveLength(1);
  });

  it('gives each sandbox away once, in the shape that is asked for', async () => {
    const { stock, create, idle, made } = openStock(2);
    await create(2);
    await idle();
    expect(stock.reserve({ vcpus: 1 })).toBeNull();
    const [first, second] = [stock.reserve({ vcpus: 2 }), stock.reserve({ vcpus: 2 })];
    expect([first, second].sort()).toEqual([...made].sort());
    expect(stock.reserve({ vcpus: 2 })).toBeNull();
    expect(stock.claim(first ?? '')?.sandboxId).toBe(first);
    expect(stock.claim(first ?? '')).toBeNull();
    stock.giveBack(second ?? '');
    expect(stock.reserve({ vcpus: 2 })).toBe(second);
  });

  it('replaces sandboxes of another shape than the last create wanted, and dead ones', async () => {
    const { stock, create, idle, die, alive, made } = openStock(1);
    await create(1);
    await idle();
    await create(2);
    await idle();
    expect([...alive]).toEqual([made[1]]);
    die(made[1]);
    expect(stock.reserve({ vcpus: 2 })).toBeNull();
    await create(2);
    await idle();
    expect([...alive]).toEqual([made[2]]);
  });

  it('reports a boot that failed, and tries again after the next call', async () => {
    const { create, idle, fail, log, made, alive } = openStock(1);
    fail(new Error('no room'));
    await create();
    await idle();
    expect(log.lines.join()).toContain('Could not boot a sandbox ahead.');
    await idle(10 * IDLE_MS);
    expect(log.lines).toHaveLength(1);
    expect([...alive]).toEqual([]);
    fail(null);
    await create();
    await idle();
    expect(made).toHaveLength(1);
  });

  it('removes everything when it is closed, also what is given back later, and boots no more', async () => {
    const { stock, create, idle, alive, made } = openStock(2);
    await create();
    await idle();
    const reserved = stock.reserve({ vcpus: 1 });
    const first = stock.close();
    // The second does not end before the first.
    await stock.close();
    expect([...alive]).toEqual([reserved]);
    stock.giveBack(reserved ?? '');
    await stock.close();
    expect([...alive]).toEqual([]);
    await first;
    await create();
    await idle();
    expect(made).toHaveLength(2);
  });

  it('tries all removals, again after a failure, and does not close while one is left', async () => {
    const { stock, create, idle, alive, busy, log, made } = openStock(6);
    await create(1);
    await idle();
    const [stuck = ''] = made;
    busy.add(stuck);
    await create(2);
    await idle();
    // The others are removed, and nothing is booted next to what is left.
    expect([...alive]).toEqual([stuck]);
    expect(log.lines.join()).toContain('Could not remove a sandbox that was booted ahead');
    await expect(stock.close()).rejects.toThrow('busy');
    busy.clear();
    await stock.close();
    expect([...alive]).toEqual([]);
  });

  it('removes what a failed boot has left, again if that fails, and reports the boot’s failure', async () => {
    const { stock, create, idle, fail, alive, busy, log } = openStock(1);
    const remove = busy.has.bind(busy);
    busy.has = (sandboxId) => remove('every') || remove(sandboxId);
    fail(new Error('no room'));
    busy.add('every');
    await create();
    await idle();
    expect(log.lines[0]).toContain('no room');
    expect(alive.size).toBe(1);
    await expect(stock.close()).rejects.toThrow('busy');
    busy.clear();
    await stock.close();
    expect(alive.size).toBe(0);
  });

  it('does not grow above its size while a reserved sandbox may come back', async () => {
    const { stock, create, idle, made, alive } = openStock(1);
    await create();
    await idle();
    const reserved = stock.reserve({ vcpus: 1 }) ?? '';
    await stock.during(async () => {});
    await idle();
    expect(made).toHaveLength(1);
    stock.giveBack(reserved);
    await stock.during(async () => {});
    await idle();
    expect([...alive]).toEqual([reserved]);
  });

  it('removes a sandbox that dies at once, and replaces it if it had lived for a while', async () => {
    const { create, idle, end, made, alive } = openStock(1);
    await create();
    await idle();
    end(made[0]);
    await idle();
    expect({ alive: [...alive], made: made.length }).toEqual({ alive: [], made: 1 });
    await create();
    await idle();
    await idle(60_000);
    end(made[1]);
    await idle();
    expect([...alive]).toEqual([made[2]]);
  });

  it('keeps nothing of a request but its shape', async () => {
    const { stock, idle, shapes } = openStock(1);
    const request = { vcpus: 1, env: { TOKEN: 'secret' } };
    await stock.during(async () => stock.want(request));
    await idle();
    expect(shapes).toEqual([{ vcpus: 1 }]);
  });

  it('of size 0 never boots', async () => {
    const { create, idle, made } = openStock(0);
    await create();
    await idle();
    expect(made).toHaveLength(0);
  });
});
