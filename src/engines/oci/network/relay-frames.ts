/** The frames between the server and its relay process, `agent relay` (docs/agent-protocol.md). */
import { constants } from 'node:os';

export const RELAY_FRAME = {
  LISTENING: 96,
  LISTEN_FAILED: 97,
  SUCCESSOR_EXITED: 98,
  OPENED: 99,
  SNIFFED: 100,
  CONNECTED: 101,
  CLOSED: 102,
  TOTALS: 103,
  QUOTA_EXCEEDED: 104,
  DNS_QUERY: 105,
  LISTEN: 112,
  WATCH_SUCCESSOR: 113,
  SNIFF: 114,
  CONNECT: 115,
  RELEASE: 116,
  INTERCEPT: 117,
  RESPOND: 118,
  RESET: 119,
  QUOTA: 120,
  DNS_ANSWER: 121,
} as const;

/** A body that starts with a `u32`. */
export function numbered(number: number, ...more: Buffer[]): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32LE(number);
  return Buffer.concat([head, ...more]);
}

/** Decodes a 4-byte address and a 2-byte port, both big-endian. */
export function destination(address: string, port: number): Buffer {
  return Buffer.from([...address.split('.').map(Number), port >> 8, port & 0xff]);
}

/** `ECONNREFUSED`, …, or `E<number>` if this host does not know the number; null for 0. */
export function errorCode(number: number): string | null {
  if (number === 0) return null;
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `E${number}`;
}
