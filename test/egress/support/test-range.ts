/**
 * Addresses that a gateway treats as public: slices of a documentation range (RFC 5737), routed to loopback.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';

/** Contains all slices. */
export const TEST_RANGE = '203.0.113.0/24';
const SLICE = 8;
const TRIES = 100;

export interface TestRange {
  /** @param host 0 to 7 */
  address(host: number): string;
  /** Removes the route. */
  close(): void;
}

/** Routes a slice that no other test uses. Needs root. */
export function openTestRange(): TestRange {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const first = randomInt(0, 256 / SLICE) * SLICE;
    const range = `203.0.113.${first}/29`;
    try {
      execFileSync('ip', ['route', 'add', 'local', range, 'dev', 'lo'], { stdio: 'ignore' });
    } catch {
      // Another test uses it.
      continue;
    }
    return {
      address: (host) => `203.0.113.${first + host}`,
      close: () => {
        execFileSync('ip', ['route', 'del', 'local', range, 'dev', 'lo']);
      },
    };
  }
  throw new Error(`no slice of ${TEST_RANGE} is free`);
}
