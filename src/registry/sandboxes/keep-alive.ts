import type { Sandbox } from '../../engines/engine.ts';
import type { Timer } from '../../shared/clock.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { extendForWork, marginMs } from './deadline.ts';

/** How long an extended sandbox has until its deadline. */
const AHEAD_MS = 120_000;
const RETRY_MS = 5_000;
/** Between two extensions, for an engine that grants less than requested. */
const MIN_PAUSE_MS = 1_000;

interface Lease {
  readonly sandboxId: string;
  /** How many commands need the sandbox. */
  holders: number;
  timer: Timer | null;
  readonly ended: AbortController;
}

/** Keeps the sandboxes of one session alive while its commands run in them. */
export class Leases {
  readonly #context: RegistryContext;
  readonly #leases = new Map<string, Lease>();

  constructor(context: RegistryContext) {
    this.#context = context;
  }

  /**
   * Extends the sandbox's deadline before it expires, up to the operator's maximum, until every holder has
   * called the returned function. `sandbox` gives the current deadline.
   */
  hold(sandbox: Sandbox): () => void {
    let lease = this.#leases.get(sandbox.sandboxId);
    if (lease === undefined) {
      lease = { sandboxId: sandbox.sandboxId, holders: 0, timer: null, ended: new AbortController() };
      this.#leases.set(sandbox.sandboxId, lease);
      this.#schedule(lease, sandbox, 0);
    }
    const held = lease;
    held.holders += 1;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      held.holders -= 1;
      if (held.holders === 0) this.#end(held);
    };
  }

  /** Ends every lease: sandboxes run to their current deadline. */
  close(): void {
    for (const lease of this.#leases.values()) this.#end(lease);
  }

  #schedule(lease: Lease, sandbox: Sandbox, minPauseMs: number): void {
    if (sandbox.expiresAt === null) {
      this.#context.log.debug(
        { sandbox_id: lease.sandboxId, status: sandbox.status },
        'Lease ended: the sandbox has ended.',
      );
      return;
    }
    const left = sandbox.expiresAt - this.#context.clock.now();
    if (sandbox.timeoutMs >= this.#context.config.maxLifetimeMs) {
      this.#context.log.info(
        { sandbox_id: lease.sandboxId, left_ms: left },
        'A sandbox in use has reached the maximum lifetime.',
      );
      return;
    }
    this.#wake(lease, Math.max(minPauseMs, left - marginMs(sandbox)));
  }

  #wake(lease: Lease, delayMs: number): void {
    lease.timer = this.#context.clock.setTimeout(() => {
      lease.timer = null;
      void this.#renew(lease);
    }, delayMs);
  }

  /** Never rejects. */
  async #renew(lease: Lease): Promise<void> {
    const fields = { sandbox_id: lease.sandboxId };
    try {
      const sandbox = await extendForWork(this.#context, lease.sandboxId, AHEAD_MS, lease.ended.signal);
      if (lease.ended.signal.aborted) return;
      this.#schedule(lease, sandbox, MIN_PAUSE_MS);
    } catch (error) {
      if (lease.ended.signal.aborted) return;
      if (error instanceof SandboxError && (error.code === 'not_found' || error.code === 'conflict')) {
        this.#context.log.debug({ ...fields, err: error }, 'Lease ended: the sandbox is no longer running.');
        return;
      }
      this.#context.log.warn({ ...fields, err: error }, 'Could not extend a lease; retrying.');
      this.#wake(lease, RETRY_MS);
    }
  }

  #end(lease: Lease): void {
    if (lease.timer !== null) this.#context.clock.clearTimeout(lease.timer);
    lease.timer = null;
    lease.ended.abort();
    if (this.#leases.get(lease.sandboxId) === lease) this.#leases.delete(lease.sandboxId);
  }
}
