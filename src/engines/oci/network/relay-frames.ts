/** The frames between the server and `agent carry` (docs/agent-protocol.md). */
import { constants } from 'node:os';

export const CARRY = {
  READY: 96,
  FAILED: 97,
  FREED: 98,
  OPENED: 99,
  SENT: 100,
  DIALLED: 101,
  CLOSED: 102,
  TOTALS: 103,
  SPENT: 104,
  QUERY: 105,
  LISTEN: 112,
  WATCH: 113,
  LOOK: 114,
  DIAL: 115,
  RELEASE: 116,
  TAKE: 117,
  END: 118,
  CUT: 119,
  LIMIT: 120,
  ANSWER: 121,
} as const;

/** A body that starts with a `u32`. */
export function numbered(number: number, ...more: Buffer[]): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32LE(number);
  return Buffer.concat([head, ...more]);
}

/** Four bytes of address and two of port, both big-endian. */
export function destination(address: string, port: number): Buffer {
  return Buffer.from([...address.split('.').map(Number), port >> 8, port & 0xff]);
}

/** `ECONNREFUSED`, …, or `E<number>` where this host does not know the number; null for 0. */
export function errorCode(number: number): string | null {
  if (number === 0) return null;
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `E${number}`;
}
