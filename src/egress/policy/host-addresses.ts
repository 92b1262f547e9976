/** The addresses of this host's interfaces, which change while the server runs. */
import { networkInterfaces } from 'node:os';

/**
 * Reading them takes up to a millisecond, and every connection needs them several times. A new address is known
 * after this time.
 */
const KEPT_MS = 250;

/** A function that returns them as the system formats them. Its parameters are for tests. */
export function hostAddresses(
  read: () => readonly string[] = readAddresses,
  now: () => number = () => performance.now(),
): () => readonly string[] {
  let addresses: readonly string[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() - readAt < KEPT_MS) return addresses;
    addresses = read();
    readAt = now();
    return addresses;
  };
}

function readAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
