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
 * What to send upstream: everything that the program sends (`pass`); the same, but held back for inspection
 * until `release` (`hold`); or only this request, in place of what was read so far.
 */
export type DialMode = 'pass' | 'hold' | { readonly request: Buffer };

/**
 * A connection made by a program in the sandbox, with its original destination. The relay moves the bytes:
 * none pass through this process unless it asks for them.
 */
export interface RedirectedConnection {
  /** IPv4, in canonical form. */
  readonly address: string;
  readonly port: number;
  /** Resolves once the connection is closed, for whatever reason. */
  readonly closed: Promise<ByteCounts>;
  /**
   * Reads the next bytes that the program sends, without consuming them: the eventual reader of the
   * connection gets them too.
   */
  nextChunk(timeoutMs: number): Promise<Buffer | 'end' | 'timeout'>;
  /**
   * Connects it to an outside address; from then on the relay copies bytes in both directions. A connection
   * that is held can still be dialled elsewhere, taken or ended, as long as the first server has sent nothing;
   * after that it is reset.
   *
   * @returns null, or the system's error code; `ECANCELED` if the connection is closed
   */
  dial(address: string, port: number, how: DialMode): Promise<string | null>;
  release(): void;
  /**
   * Hands the byte stream to this process, from the program's first byte on; null if the connection is
   * closed.
   */
  takeStream(): Promise<Duplex | null>;
  /** Sends these final bytes and closes the connection. */
  endWith(bytes: Buffer): void;
  /** Resets the connection at once: no further byte passes. */
  reset(): void;
}

/** What is needed to evaluate and relay a connection. */
export interface GatewayContext {
  /** The current policy. */
  policy(): Policy;
  readonly names: NameCache;
  readonly log: ConnectionLog;
  /** Whether to refuse TLS clients that send an encrypted client hello, real or grease. */
  readonly refuseEch: boolean;
  /** Null if the sandbox's programs trust no gateway certificate. */
  readonly tls: TlsKeyProvider | null;
}
