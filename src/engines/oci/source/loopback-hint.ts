const CONNECTS = /connect/i;
const LOOPBACK = /\b127(\.\d{1,3}){3}\b|\blocalhost\b|\b0\.0\.0\.0\b|(?<![\w:])::1\b/;

/**
 * The next step where a program could not connect to its own loopback, as it says in its words; null where it was something
 * else. Whoever gives such an address means a server of this machine.
 */
export function loopbackHint(said: string): string | null {
  if (!CONNECTS.test(said) || !LOOPBACK.test(said)) return null;
  return 'A loopback address is the sandbox itself there. For a server on this machine give its address in the network, and ask the operator to open that (--egress-allow).';
}
