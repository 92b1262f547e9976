/**
 * The log of a sandbox's connections on disk, one line of JSON each: bounded, and readable by later servers
 * and people.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type {
  ConnectionEntry,
  NetworkTotals,
  PreviousLog,
} from '../../../egress/connection/connection-log.ts';
import { systemErrorCode } from '../../../shared/errors.ts';

const NAME = 'network.jsonl';
const OLDER = 'network.old.jsonl';
/** Limit of one file; there are at most two. */
const MAX_BYTES = 262_144;
const SUMS_EVERY_MS = 1_000;
/** About what a file holds: older connections that wait to be written would soon be rotated away. */
const MAX_PENDING = 1_000;
const LONGEST_TEXT = 300;

const sums = z.object({
  connections: z.number(),
  refused: z.number(),
  bytesIn: z.number(),
  bytesOut: z.number(),
});
/** Lines of version 0.1.0 call an entry's outcome `verdict`. */
function withCurrentNames(value: unknown): unknown {
  const old = z.looseObject({ verdict: z.string() }).safeParse(value);
  return old.success ? { ...old.data, outcome: old.data.verdict } : value;
}

const entryFields = z.object({
  time: z.number(),
  protocol: z.enum(['tcp', 'tls', 'http', 'dns']),
  domain: z.string().nullable(),
  address: z.string(),
  port: z.number(),
  outcome: z.enum(['allowed', 'refused', 'failed', 'cut']),
  rule: z.string(),
  bytesIn: z.number(),
  bytesOut: z.number(),
});
const entry = z.preprocess(withCurrentNames, entryFields);
/** A connection with the totals after it, or the totals alone. */
const line = z.object({ sums, connection: entry.nullable() });

export class EgressLog {
  readonly #dir: string;
  readonly #sums: () => NetworkTotals;
  readonly #onError: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #entries: { sums: NetworkTotals; connection: ConnectionEntry }[] = [];
  #written: string;
  #closed = false;
  /** Null while nothing is being written. */
  #writing: Promise<void> | null = null;

  /**
   * @param dir the sandbox's directory
   * @param now returns the current totals
   */
  constructor(dir: string, now: () => NetworkTotals, onError: (error: unknown) => void) {
    this.#dir = dir;
    this.#sums = now;
    this.#onError = onError;
    // Unchanged or zero totals need no line.
    this.#written = JSON.stringify(now());
    this.#timer = setInterval(() => this.#flush(), SUMS_EVERY_MS).unref();
  }

  add(connection: ConnectionEntry): void {
    const short = { ...connection, rule: connection.rule.slice(0, LONGEST_TEXT) };
    this.#entries.push({ sums: this.#sums(), connection: short });
    if (this.#entries.length > MAX_PENDING) this.#entries.shift();
    // One write for all connections that end in the same turn, or during a write.
    if (this.#entries.length === 1) setImmediate(() => this.#flush());
  }

  /** Writes what is pending. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#idle();
    // Count the bytes transferred since the last connection ended.
    this.#flush();
    await this.#idle();
    this.#closed = true;
  }

  /** Waits until every connection is written. */
  async #idle(): Promise<void> {
    this.#flush();
    while (this.#writing !== null) await this.#writing;
  }

  #flush(): void {
    if (this.#closed || this.#writing !== null) return;
    const entries = this.#entries.splice(0);
    const now = this.#sums();
    const last = JSON.stringify(entries.at(-1)?.sums ?? now);
    if (entries.length === 0 && last === this.#written) return;
    this.#written = last;
    const lines = entries.length > 0 ? entries : [{ sums: now, connection: null }];
    const text = lines.map((each) => `${JSON.stringify(each)}\n`).join('');
    this.#writing = this.#append(text)
      .catch(this.#onError)
      .finally(() => {
        this.#writing = null;
        if (this.#entries.length > 0) this.#flush();
      });
  }

  async #append(text: string): Promise<void> {
    const path = join(this.#dir, NAME);
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
    const file: FileHandle = await open(path, flags, 0o600);
    let full: boolean;
    try {
      await file.appendFile(text);
      full = (await file.stat()).size >= MAX_BYTES;
    } finally {
      await file.close();
    }
    if (full) await rename(path, join(this.#dir, OLDER)).catch(unlessMissing);
  }
}

/** Ignores ENOENT: another server that writes to the same file may have rotated it first. */
function unlessMissing(error: unknown): void {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}

/** What this server and earlier ones have logged for a sandbox. Skips truncated and invalid lines. */
export async function readEgressLog(dir: string): Promise<PreviousLog> {
  const texts = await Promise.all(
    [OLDER, NAME].map((name) => readFile(join(dir, name), 'utf8').catch(() => '')),
  );
  const lines = texts.join('').split('\n').flatMap(parsed);
  return {
    entries: lines.flatMap(({ connection }) => (connection === null ? [] : [connection])),
    totals: lines.at(-1)?.sums ?? { connections: 0, refused: 0, bytesIn: 0, bytesOut: 0 },
  };
}

function parsed(text: string): z.output<typeof line>[] {
  if (text === '') return [];
  try {
    const result = line.safeParse(JSON.parse(text));
    return result.success ? [result.data] : [];
  } catch {
    return [];
  }
}
