/** Looks at the beginning of what a program sends. */
import { type ClientHello, parseClientHello } from './client-hello.ts';
import type { RedirectedConnection } from './context.ts';
import { detectProtocol, type Protocol } from './detect-protocol.ts';

export interface SniffResult {
  /** Null: nothing was sent, or not enough to tell, in the time given. */
  readonly protocol: Protocol | null;
  readonly hello: ClientHello | null;
  readonly hasData: boolean;
  /** What was sniffed. */
  readonly bytes: Buffer;
}

const MAX_PEEK = 80_000;
/** Each chunk costs a look at all before it: who sends single bytes for long is not waited for. */
const MAX_CHUNKS = 2_000;
/** A program that has begun to send is given this long for what names its destination. */
const COMPLETE_MS = 60_000;

/** Waits for the first bytes. Never rejects. */
export async function sniff(connection: RedirectedConnection, firstByteMs: number): Promise<SniffResult> {
  let bytes = Buffer.alloc(0);
  let ended = false;
  let chunks = 0;
  const until = performance.now() + COMPLETE_MS;
  for (;;) {
    const state = inspect(bytes);
    const left = bytes.length === 0 ? firstByteMs : until - performance.now();
    if (state !== null || ended || left <= 0 || bytes.length > MAX_PEEK || chunks > MAX_CHUNKS) {
      return state ?? { protocol: null, hello: null, hasData: bytes.length > 0, bytes };
    }
    const chunk = await connection.nextChunk(left);
    if (chunk === 'timeout' && bytes.length === 0)
      return { protocol: null, hello: null, hasData: false, bytes };
    if (chunk === 'timeout') continue;
    if (chunk === 'end') ended = true;
    else bytes = Buffer.concat([bytes, chunk]);
    chunks++;
  }
}

function inspect(bytes: Buffer): SniffResult | null {
  const protocol = detectProtocol(bytes);
  if (protocol !== 'tls') return protocol === null ? null : { protocol, hello: null, hasData: true, bytes };
  const hello = parseClientHello(bytes);
  return hello.kind === 'incomplete' ? null : { protocol, hello, hasData: true, bytes };
}
