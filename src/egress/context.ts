import type { Duplex } from 'node:stream';
import type { ConnectionLog } from './connection-log.ts';
import type { Names } from './names.ts';
import type { Policy } from './policy.ts';
import type { TlsKeys } from './tls-keys.ts';

/** A connection that a program of the sandbox made, with where it wanted to go. */
export interface Redirected {
  /** IPv4, in its usual spelling. */
  readonly address: string;
  readonly port: number;
  /** What the program sends and gets; nothing may be written before `open`. Destroyed before `open`, it is a reset. */
  readonly stream: Duplex & { readonly bytesRead: number; readonly bytesWritten: number };
  /** Lets the program's connection stand. */
  open(): void;
}

/** What judging and carrying a connection takes. */
export interface GatewayContext {
  /** The policy of this moment. */
  policy(): Policy;
  readonly names: Names;
  readonly log: ConnectionLog;
  /** Null where the sandbox's programs trust no gateway. */
  readonly tls: TlsKeys | null;
}
