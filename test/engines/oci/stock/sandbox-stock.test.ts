import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { SandboxRecord } from '../../../../src/engines/oci/state/sandbox-record.ts';
import { SandboxStock, type StockMaker } from '../../../../src/engines/oci/stock/sandbox-stock.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { FakeClock, LogLines } from '../../../registry/support/registry.ts';

const IDLE_MS = 500;

function stocked(sandboxId: string, vcpus: number): SandboxRecord {
  return {
    format: 1,
    sandboxId,
    status: 'pending',
    statusReason: null,
    stopCause: null,
    runtime: 'stock',
    vcpus,
    memoryMb: 2_048,
    diskMb: null,
    createdAt: 0,
    timeoutMs: 0,
    expiresAt: 0,
    endedAt: null,
    ports: [],
    env: {},
    interactive: false,
    networkPolicy: { mode: 'deny-all' },
    worker: null,
    init: null,
    cgroups: [],
    enforced: { memory: false, cpu: false, pids: false },
    etcTemplate: '',
    image: null,
    shell: '/bin/bash',
    caBundle: null,
    sourceSnapshotId: null,
    baseLayers: { layers: [], owners: {} },
    workspace: null,
    volumes: [],
    snapshot: null,
  };
}

/** A stock whose sandboxes exist only here. */
function openStock(size: number) {
  const clock = new FakeClock();
  const log = new LogLines();
  const alive = new Set<string>();
  const dead = new Set<string>();
  let failure: Error | null = null;
  let made = 0;
  const maker: StockMaker = {
    boot: async ({ vcpus }) => {
      if (failure !== null) throw failure;
      made += 1;
      alive.add(`sbx_${made}`);
      return stocked(`sbx_${made}`, vcpus);
    },
    remove: async (sandboxId) => {
      await turn();
      alive.delete(sandboxId);
    },
    isAlive: ({ sandboxId }) => !dead.has(sandboxId),
  };
  const stock = new SandboxStock(size, maker, createLogger('debug', log), clock);
  return {
    stock,
    alive,
    log,
    die: (sandboxId: string) => dead.add(sandboxId),
    fail: (error: Error | null) => {
      failure = error;
    },
    made: () => made,
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
    expect(made()).toBe(0);
    await create();
    await idle(IDLE_MS - 1);
    expect(made()).toBe(0);
    await idle(1);
    expect(made()).toBe(1);
    await stock.during(async () => {});
    await idle();
    expect(made()).toBe(1);
  });

  it('boots nothing while a call is running', async () => {
    const { stock, create, idle, made } = openStock(1);
    await create();
    let end = (): void => {};
    const call = stock.during(() => new Promise<void>((resolve) => (end = resolve)));
    await idle(10 * IDLE_MS);
    expect(made()).toBe(0);
    end();
    await call;
    await idle();
    expect(made()).toBe(1);
  });

  it('gives each sandbox away once, in the shape that is asked for', async () => {
    const { stock, create, idle } = openStock(2);
    await create(2);
    await idle();
    expect(stock.reserve({ vcpus: 1 })).toBeNull();
    const [first, second] = [stock.reserve({ vcpus: 2 }), stock.reserve({ vcpus: 2 })];
    expect([first, second].sort()).toEqual(['sbx_1', 'sbx_2']);
    expect(stock.reserve({ vcpus: 2 })).toBeNull();
    expect(stock.claim(first ?? '')?.sandboxId).toBe(first);
    expect(stock.claim(first ?? '')).toBeNull();
    stock.giveBack(second ?? '');
    expect(stock.reserve({ vcpus: 2 })).toBe(second);
  });

  it('replaces sandboxes of another shape than the last create wanted, and dead ones', async () => {
    const { stock, create, idle, die, alive } = openStock(1);
    await create(1);
    await idle();
    await create(2);
    await idle();
    expect([...alive]).toEqual(['sbx_2']);
    die('sbx_2');
    expect(stock.reserve({ vcpus: 2 })).toBeNull();
    await create(2);
    await idle();
    expect([...alive]).toEqual(['sbx_3']);
  });

  it('reports a boot that failed, and tries again after the next call', async () => {
    const { create, idle, fail, log, made } = openStock(1);
    fail(new Error('no room'));
    await create();
    await idle();
    expect(log.lines.join()).toContain('Could not boot a sandbox ahead.');
    await idle(10 * IDLE_MS);
    expect(log.lines).toHaveLength(1);
    fail(null);
    await create();
    await idle();
    expect(made()).toBe(1);
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
    expect(made()).toBe(2);
  });

  it('of size 0 never boots', async () => {
    const { create, idle, made } = openStock(0);
    await create();
    await idle();
    expect(made()).toBe(0);
  });
});
