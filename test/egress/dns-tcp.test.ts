import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ConnectionLog } from '../../src/egress/connection/connection-log.ts';
import { serveDnsOverTcp } from '../../src/egress/dns/dns-tcp.ts';

describe('DNS over TCP', () => {
  it('closes a connection at the length of a query that is too long, and collects nothing of it', async () => {
    const stream = new PassThrough();
    const queries: Buffer[] = [];
    const answer = async (query: Buffer) => {
      queries.push(query);
      return null;
    };
    const totals = { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 };
    const log = new ConnectionLog({ entries: [], totals }, () => {});
    const served = serveDnsOverTcp(stream, answer, log);
    stream.write(Buffer.from([0xff]));
    stream.write(Buffer.from([0xff]));
    await served;
    expect(stream.destroyed).toBe(true);
    expect(queries).toEqual([]);
  });
});
