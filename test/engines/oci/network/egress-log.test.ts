import { appendFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { ConnectionEntry, NetworkTotals } from '../../../../src/egress/connection/connection-log.ts';
import { EgressLog, readEgressLog } from '../../../../src/engines/oci/network/egress-log.ts';

const entry = (port: number): ConnectionEntry => ({
  time: 1,
  protocol: 'tls',
  domain: 'example.com',
  address: '198.51.100.7',
  port,
  outcome: 'refused',
  rule: 'r'.repeat(1_000),
  bytesIn: 1,
  bytesOut: 2,
});

describe('the network log of a sandbox', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'egress-record-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('is bounded, and gives the next reader its totals and latest connections', async () => {
    const sums: NetworkTotals = { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 };
    const fail = (error: unknown) => {
      throw error;
    };
    for (let round = 0; round < 10; round++) {
      const record = new EgressLog(dir, () => ({ ...sums }), fail);
      for (let port = 1; port <= 500; port++) {
        sums.connections++;
        sums.refused++;
        record.add(entry(port));
      }
      sums.bytesIn = (round + 1) * 1_000;
      await record.close();
    }
    for (const name of ['network.jsonl', 'network.old.jsonl']) {
      const size = await stat(join(dir, name)).then(
        (found) => found.size,
        () => 0,
      );
      expect(size).toBeLessThan(700_000);
    }
    const before = await readEgressLog(dir);
    expect(before.totals).toEqual({ connections: 5_000, refused: 5_000, bytesIn: 10_000, bytesOut: 0 });
    expect(before.entries.at(-1)).toMatchObject({ port: 500, domain: 'example.com' });
  });

  it('keeps the latest connections, and the totals, of a sandbox that makes more than can be written', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'egress-record-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    let connections = 0;
    const now = () => ({ connections, refused: connections, bytesIn: 0, bytesOut: 0 });
    const errors: unknown[] = [];
    const record = new EgressLog(folder, now, (error) => errors.push(error));
    for (const turn of [1, 2, 3]) {
      for (let port = 1; port <= 5_000; port++) {
        connections++;
        record.add(entry(turn));
      }
      await nextTurn();
    }
    await record.close();
    expect(errors).toEqual([]);
    const { entries, totals } = await readEgressLog(folder);
    expect(totals).toMatchObject({ connections: 15_000, refused: 15_000 });
    expect(entries.at(-1)).toMatchObject({ port: 3 });
    expect(entries.length).toBeLessThanOrEqual(3_000);
  });

  it('is read past truncated and malformed lines', async () => {
    await appendFile(join(dir, 'network.jsonl'), '{"sums":{"connections":7}}\nnull\n{"sums":{"conn');
    expect((await readEgressLog(dir)).totals.connections).toBe(5_000);
  });

  it('is empty when nothing was written', async () => {
    expect(await readEgressLog(join(dir, 'nowhere'))).toEqual({
      entries: [],
      totals: { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 },
    });
  });

  it('reads lines of version 0.1.0, which call the outcome a verdict', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'egress-record-'));
    try {
      const { outcome, ...connection } = entry(443);
      const sums = { connections: 3, refused: 1, bytesIn: 10, bytesOut: 20 };
      const line = { sums, connection: { ...connection, verdict: outcome } };
      await appendFile(join(folder, 'network.jsonl'), `${JSON.stringify(line)}\n`);
      expect(await readEgressLog(folder)).toMatchObject({
        totals: sums,
        entries: [{ port: 443, outcome }],
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
