/** DNS over TCP (RFC 7766): messages with a two-byte length prefix. */
import type { Duplex } from 'node:stream';
import type { ConnectionLog } from '../connection/connection-log.ts';
import type { DnsAnswer } from './answer-query.ts';
import { refusedQueryEntry } from './dns-log-entry.ts';

const MAX_QUERY = 4_096;
const MAX_QUERIES = 1_000;
const IDLE_MS = 30_000;

/**
 * Answers queries one by one until the program closes the connection, idles, or sends something that is not a
 * query.
 */
export async function serveDnsOverTcp(
  stream: Duplex,
  answer: (query: Buffer) => Promise<DnsAnswer | null>,
  log: ConnectionLog,
): Promise<void> {
  let pending = Buffer.alloc(0);
  let served = 0;
  const idle = setTimeout(() => stream.destroy(), IDLE_MS);
  try {
    for await (const chunk of stream) {
      idle.refresh();
      pending = Buffer.concat([pending, Buffer.from(chunk)]);
      while (pending.length >= 2) {
        const length = pending.readUInt16BE(0);
        // Before the rest of it is collected.
        if (length > MAX_QUERY) return;
        if (pending.length < 2 + length) break;
        const reply = await answer(pending.subarray(2, 2 + length));
        if (reply === null || ++served > MAX_QUERIES) return;
        if (reply.refused !== null) log.add(refusedQueryEntry(reply.refused));
        pending = pending.subarray(2 + length);
        const head = Buffer.alloc(2);
        head.writeUInt16BE(reply.bytes.length);
        stream.write(Buffer.concat([head, reply.bytes]));
      }
    }
    stream.end();
  } catch {
    // The program has disconnected.
  } finally {
    clearTimeout(idle);
    if (!stream.writableEnded) stream.destroy();
  }
}
