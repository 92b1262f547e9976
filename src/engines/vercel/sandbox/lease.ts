/**
 * Leases: the platform gets timeouts of a few minutes, so that a sandbox costs money for only minutes after
 * its last server has died. Renewals keep it alive for the lifetime that the caller requested.
 */
import type { Session } from '@vercel/sandbox';
import { SandboxError } from '../../../shared/errors.ts';
import type { CreateSandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform, isNotFound, isPassing, isStopped, mayHaveHappened } from '../http/api-errors.ts';
import { type Lease, readRecord, updateRecord } from '../state/sandbox-record.ts';
import { hasEnded, startOf } from './sandbox-view.ts';
import { fetchedSource } from './source.ts';

/** The first renewal, and the pause between two, in parts of a lease. */
const MARGIN = 1 / 2;
/** How far ahead a caller's extension is passed on at once, in leases. */
const AHEAD = 2;
/** After a renewal that failed, in parts of a lease. */
const RETRY = 1 / 20;
/** Between two renewals, at least. */
const SHORTEST_MS = 1_000;

/** The lease of a new sandbox; null for one that outlives its servers. */
export function newLease({ leaseMs }: { leaseMs: number }, request: CreateSandbox): Lease | null {
  if (request.keep) return null;
  const { timeoutMs } = request;
  // A source is fetched within the sandbox's lifetime, before there is a session that could renew it.
  const grantedMs = fetchedSource(request) === null ? Math.min(timeoutMs, leaseMs) : timeoutMs;
  return { promisedMs: timeoutMs, grantedMs, startedAt: null };
}

/**
 * How much to extend a session now, so that it lasts until `until` or as far ahead as is passed on at once.
 */
export function extensionMs(session: Session, until: number, leaseMs: number): number {
  const deadline = startOf(session) + session.timeout;
  return Math.max(0, Math.ceil(Math.min(until, Date.now() + AHEAD * leaseMs) - deadline));
}

/** True if there is nothing left to renew, or no readable record of it. */
function isFinal(error: unknown): boolean {
  return isStopped(error) || isNotFound(error) || (error instanceof SandboxError && error.code === 'server');
}

/** Renews the leases of the sandboxes that this process owns. */
export class Leases {
  readonly #context: VercelContext;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #renewals = new Set<Promise<void>>();
  readonly #closed = new AbortController();

  constructor(context: VercelContext) {
    this.#context = context;
  }

  /**
   * Renews the sandbox's lease from now on. Does nothing for a sandbox that has none. Of several replicas, the
   * last one to call this renews it.
   */
  async hold(sandboxId: string): Promise<void> {
    const { layout, replica } = this.#context;
    // Another replica may hold it by now.
    if (replica?.isCurrent() === false) return;
    const lease =
      replica === null
        ? (await readRecord(layout, sandboxId))?.lease
        : await this.#recorded(sandboxId, { holder: replica.id });
    if (lease != null) this.#schedule(sandboxId, lease);
  }

  /** Whether this process is the one that renews it. */
  #isHolder({ holder }: Lease): boolean {
    const { replica } = this.#context;
    return replica === null || (replica.isCurrent() && holder === replica.id);
  }

  /** Lets the lease run out, unless another process renews it. */
  release(sandboxId: string): void {
    clearTimeout(this.#timers.get(sandboxId));
    this.#timers.delete(sandboxId);
  }

  /** Resolves when no renewal is in progress any more. */
  async close(): Promise<void> {
    this.#closed.abort();
    for (const sandboxId of this.#timers.keys()) this.release(sandboxId);
    await Promise.all(this.#renewals);
  }

  #schedule(sandboxId: string, { startedAt, grantedMs }: Lease): void {
    const left = (startedAt ?? Date.now()) + grantedMs - Date.now();
    this.#wake(sandboxId, left - MARGIN * this.#context.tuning.leaseMs);
  }

  #wake(sandboxId: string, delayMs: number): void {
    if (this.#closed.signal.aborted) return;
    clearTimeout(this.#timers.get(sandboxId));
    const timer = setTimeout(() => this.#startRenewal(sandboxId), Math.max(SHORTEST_MS, delayMs));
    this.#timers.set(sandboxId, timer.unref());
  }

  #startRenewal(sandboxId: string): void {
    const renewal = this.#renew(sandboxId).finally(() => this.#renewals.delete(renewal));
    this.#renewals.add(renewal);
  }

  /** Never rejects. */
  async #renew(sandboxId: string): Promise<void> {
    const { layout, log, tuning } = this.#context;
    try {
      const record = await readRecord(layout, sandboxId);
      const isOver = record?.lastSeen != null && hasEnded(record.lastSeen);
      if (record?.lease == null || isOver || !this.#isHolder(record.lease)) return this.release(sandboxId);
      const lease = await this.#renewed(sandboxId, record.lease);
      if (lease === null || !this.#timers.has(sandboxId)) return this.release(sandboxId);
      this.#schedule(sandboxId, lease);
    } catch (error) {
      if (this.#closed.signal.aborted || isFinal(error)) return this.release(sandboxId);
      log.warn({ sandbox_id: sandboxId, err: error }, 'Could not renew the lease of a sandbox; retrying.');
      this.#wake(sandboxId, RETRY * tuning.leaseMs);
    }
  }

  /** The renewed lease; null for a sandbox that has ended. */
  async #renewed(sandboxId: string, lease: Lease): Promise<Lease | null> {
    const { cloud, tuning } = this.#context;
    const { signal } = this.#closed;
    const session = (await cloud.get(sandboxId, signal)).currentSession();
    if (hasEnded(session)) return null;
    const startedAt = startOf(session);
    const grantedMs = session.timeout;
    const promised = startedAt + lease.promisedMs;
    const until = Date.now() + tuning.leaseMs;
    // No remainder that is too short to be renewed once more.
    const missingMs = Math.ceil((promised > until + SHORTEST_MS ? until : promised) - startedAt - grantedMs);
    if (missingMs <= 0) return this.#recorded(sandboxId, { startedAt, grantedMs });
    try {
      await session.extendTimeout(missingMs, { signal });
      return await this.#recorded(sandboxId, { startedAt, grantedMs: grantedMs + missingMs });
    } catch (error) {
      if (mayHaveHappened(error) || isPassing(error) || isStopped(error)) throw error;
      // What the platform will not grant must not be promised.
      const refusal = fromPlatform(error, { doing: 'extend a lease', sandboxId });
      this.#context.log.warn({ sandbox_id: sandboxId, err: refusal }, 'Vercel grants no longer lifetime.');
      return this.#recorded(sandboxId, { startedAt, grantedMs, promisedMs: grantedMs });
    }
  }

  async #recorded(sandboxId: string, changed: Partial<Lease>): Promise<Lease | null> {
    let lease: Lease | null = null;
    await updateRecord(this.#context.layout, sandboxId, (record) => {
      lease = record.lease && { ...record.lease, ...changed };
      return { ...record, lease };
    });
    return lease;
  }
}
