import type { Duplex } from 'node:stream';
import type { NameCache } from '../policy/name-cache.ts';
import type { Policy } from '../policy/policy.ts';
import type { ConnectionLog } from './connection-log.ts';
import type { TlsKeyProvider } from './tls-trust.ts';

/** Bytes into and out of the sandbox. */
export interface ByteCounts {
  readonly in: number;
  readonly out: number;
}

/**
 * What goes out: all that the program sends (`pass`); the same, but not before `release`, and it can be looked at until then
 * (`hold`); or this request in the place of what was seen so far, and nothing after it.
 */
export type DialMode = 'pass' | 'hold' | { readonly request: Buffer };

/**
 * A connection that a program of the sandbox made, with where it wanted to go. Its bytes are in other hands: nothing of
 * them passes through this process unless it asks for them.
 */
export interface RedirectedConnection {
  /** IPv4, in its usual spelling. */
  readonly address: string;
  readonly port: number;
  /** Resolves once it is over, for whatever reason. */
  readonly closed: Promise<ByteCounts>;
  /** The next of what the program sends. It stays in front of what whoever gets the connection reads. */
  nextChunk(timeoutMs: number): Promise<Buffer | 'end' | 'timeout'>;
  /**
   * Connects it to an address outside: from then on bytes go to and fro by themselves.
   *
   * @returns null, or the system's error code; `ECANCELED` where the connection is over
   */
  dial(address: string, port: number, how: DialMode): Promise<string | null>;
  release(): void;
  /** Takes its bytes into this process, from the program's first on; null where it is over. */
  takeStream(): Promise<Duplex | null>;
  /** Says the last words, and ends it. */
  endWith(words: Buffer): void;
  /** Ends it by a reset, at once: not one byte more passes. */
  reset(): void;
}

/** What judging and carrying a connection takes. */
export interface GatewayContext {
  /** The policy of this moment. */
  policy(): Policy;
  readonly names: NameCache;
  readonly log: ConnectionLog;
  /** Whether to refuse TLS clients that send an encrypted client hello, real or grease. */
  readonly refuseEch: boolean;
  /** Null where the sandbox's programs trust no gateway. */
  readonly tls: TlsKeyProvider | null;
}
