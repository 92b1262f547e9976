const CONNECTS = /connect/i;
const LOOPBACK = /\b127(\.\d{1,3}){3}\b|\blocalhost\b|\b0\.0\.0\.0\b|(?<![\w:])::1\b/;

/**
 * A hint if a program's message says that it could not connect to loopback, else null. A caller who gives
 * such an address means a server on this machine.
 */
export function loopbackHint(said: string): string | null {
  if (!CONNECTS.test(said) || !LOOPBACK.test(said)) return null;
  return 'Inside a sandbox, a loopback address is the sandbox itself. For a server on this machine use its network address, and ask the operator to allow it (--egress-allow).';
}
