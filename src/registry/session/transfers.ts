import type { Sandbox } from '../../engines/engine.ts';
import type { Timer } from '../../shared/clock.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { Leases } from '../sandboxes/keep-alive.ts';
import type { TaskScope } from '../sandboxes/task-scope.ts';
import type { Transfer, TransferRequest, TransferResult, TransferWork } from '../types.ts';

/** How long unfetched results are kept, and how many. */
const KEPT_MS = 600_000;
const MAX_KEPT = 32;
const MAX_UNDER_WAY = 16;

/** A reason that ends the transfers of a sandbox, with the message for their callers. */
const ENDS = {
  stop: {
    message: 'The transfer ended with sandbox',
    hint: 'Call sandbox_create for a new one; the transfer was undone.',
  },
  snapshot: {
    message: 'The transfer was stopped by a snapshot of sandbox',
    hint: 'Call sandbox_get: once it is stopped, call sandbox_create with the snapshot (see snapshot_list) as source. The transfer was undone.',
  },
} as const;

interface Entry {
  readonly key: string;
  readonly sandboxId: string;
  readonly ending: AbortController;
  readonly soFar: { files: number; bytes: number };
  readonly listeners: Set<() => void>;
  readonly result: Promise<TransferResult>;
  /** Called when the transfer has ended. */
  expiry: Timer | null;
  ended: boolean;
  /** Being undone because the call that started it was cancelled. */
  cancelled: boolean;
}

/** The running transfers of one session, and the results that ended between two calls. */
export class SessionTransfers {
  readonly #context: RegistryContext;
  readonly #scope: TaskScope;
  readonly #leases: Leases;
  readonly #entries = new Map<string, Entry>();

  constructor(context: RegistryContext, scope: TaskScope, leases: Leases) {
    this.#context = context;
    this.#scope = scope;
    this.#leases = leases;
  }

  /**
   * Starts a transfer, or joins the one that the same request started and whose result was not fetched yet.
   * It continues without its caller; the end of the session, `end` and `cancel` undo it. `sandbox` gives the
   * deadline, which is extended while the transfer runs.
   *
   * @throws SandboxError `limit_exceeded` for too many at a time, `conflict` once the session has ended
   */
  async open(sandbox: Sandbox, request: TransferRequest, work: TransferWork): Promise<Transfer> {
    const key = JSON.stringify([sandbox.sandboxId, request.direction, request.arguments]);
    // Wait until a cancelled one is undone before the same transfer starts again.
    for (let known = this.#entries.get(key); known?.cancelled; known = this.#entries.get(key)) {
      await Promise.allSettled([known.result]);
      this.#forget(known);
    }
    this.#scope.requireOpen();
    const known = this.#entries.get(key);
    if (known !== undefined) return this.#handle(known, false);
    this.#requireRoom();
    const entry = this.#begin(key, sandbox, work);
    this.#entries.set(key, entry);
    return this.#handle(entry, true);
  }

  /**
   * Cancels the transfers of a sandbox that is about to end, by a stop or a snapshot; resolves when they are
   * undone. Never rejects.
   */
  async end(sandboxId: string, by: keyof typeof ENDS): Promise<void> {
    const { message, hint } = ENDS[by];
    const underWay = [...this.#entries.values()].filter(
      (entry) => entry.sandboxId === sandboxId && !entry.ended,
    );
    const reason = new SandboxError('conflict', `${message} ${sandboxId}.`, {
      hint,
      details: { sandbox_id: sandboxId },
    });
    for (const { ending } of underWay) ending.abort(reason);
    await Promise.allSettled(underWay.map(({ result }) => result));
  }

  /** Drops kept results. The scope ends running transfers. */
  close(): void {
    for (const entry of [...this.#entries.values()]) this.#forget(entry);
  }

  #begin(key: string, sandbox: Sandbox, work: TransferWork): Entry {
    const ending = new AbortController();
    const soFar = { files: 0, bytes: 0 };
    const listeners = new Set<() => void>();
    const report = (files: number, bytes: number): void => {
      soFar.files += files;
      soFar.bytes += bytes;
      for (const listener of listeners) listener();
    };
    const release = this.#leases.hold(sandbox);
    const result = this.#scope
      .run(ending.signal, (signal) => this.#noted((note) => work(signal, report, note)))
      .catch((error: unknown) => {
        const { reason } = ending.signal;
        throw ending.signal.aborted && reason instanceof SandboxError ? reason : error;
      })
      .finally(() => {
        release();
        this.#keep(entry);
      });
    const entry: Entry = {
      key,
      sandboxId: sandbox.sandboxId,
      ending,
      soFar,
      listeners,
      result,
      expiry: null,
      ended: false,
      cancelled: false,
    };
    // The next call gets the error; until then the rejection counts as handled.
    result.catch((error: unknown) =>
      this.#context.log.debug({ sandbox_id: sandbox.sandboxId, err: error }, 'A transfer failed.'),
    );
    return entry;
  }

  /**
   * Removes the notes of staged paths once the work has ended, except for a path that could not be removed.
   */
  async #noted<Result>(work: (note: (path: string) => Promise<void>) => Promise<Result>): Promise<Result> {
    const taken: (() => Promise<void>)[] = [];
    try {
      return await work(async (path) => {
        taken.push(await this.#context.stagedDownloads.record(path));
      });
    } finally {
      await Promise.all(taken.map((takeBack) => takeBack()));
    }
  }

  #handle(entry: Entry, begun: boolean): Transfer {
    return {
      begun,
      result: entry.result,
      soFar: () => ({ ...entry.soFar }),
      watch: (listener) => {
        entry.listeners.add(listener);
        return () => entry.listeners.delete(listener);
      },
      fetched: () => this.#forget(entry),
      cancel: async () => {
        entry.cancelled = true;
        entry.ending.abort(
          new SandboxError('cancelled', 'The transfer was cancelled by the call that started it.', {
            hint: 'The transfer was undone; repeat the call to start again.',
          }),
        );
        await Promise.allSettled([entry.result]);
        this.#forget(entry);
      },
    };
  }

  #requireRoom(): void {
    const underWay = [...this.#entries.values()].filter(({ ended }) => !ended).length;
    if (underWay < MAX_UNDER_WAY) return;
    throw new SandboxError(
      'limit_exceeded',
      `The limit of ${MAX_UNDER_WAY} concurrent transfers is reached (${underWay} running).`,
      {
        hint: 'Repeat one of the earlier calls to wait until it completes, then repeat this one.',
        details: { limit: 'transfers', max: MAX_UNDER_WAY, used: underWay },
      },
    );
  }

  /** Keeps the result; drops the oldest ones beyond the limit. */
  #keep(entry: Entry): void {
    entry.ended = true;
    if (this.#entries.get(entry.key) !== entry) return;
    if (this.#scope.closed) {
      this.#entries.delete(entry.key);
      return;
    }
    entry.expiry = this.#context.clock.setTimeout(() => this.#forget(entry), KEPT_MS);
    const kept = [...this.#entries.values()].filter(({ ended }) => ended);
    for (const oldest of kept.slice(0, Math.max(0, kept.length - MAX_KEPT))) this.#forget(oldest);
  }

  /** A running transfer stays known, so that it never starts a second time. */
  #forget(entry: Entry): void {
    if (!entry.ended) return;
    if (entry.expiry !== null) this.#context.clock.clearTimeout(entry.expiry);
    entry.expiry = null;
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
  }
}
