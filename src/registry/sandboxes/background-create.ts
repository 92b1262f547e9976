import { abortWith } from '../../shared/async/on-abort.ts';
import { completesWithin, type Timer } from '../../shared/clock.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { CreateRequest, CreateWait, SandboxView } from '../types.ts';
import { createSandbox } from './create-sandbox.ts';
import { getSandboxView, pendingView } from './sandbox-view.ts';
import type { TaskScope } from './task-scope.ts';

/** After the soft timeout, how long the engine may take to report the state of the sandbox. */
const VIEW_MS = 1_000;

/** The session that sandboxes are created for. */
export interface SessionOwner {
  readonly sessionId: string;
  readonly principal: string;
  /** Adds or replaces the record of a sandbox (`creating` or `live`); `current` selects it. */
  own(record: OwnershipRecord, current: boolean): void;
}

/**
 * Creates the sandboxes of one session. After the soft timeout the caller gets a pending sandbox, and the
 * create continues.
 */
export class BackgroundCreates {
  readonly #context: RegistryContext;
  readonly #scope: TaskScope;
  readonly #parent: SessionOwner;

  constructor(context: RegistryContext, scope: TaskScope, parent: SessionOwner) {
    this.#context = context;
    this.#scope = scope;
    this.#parent = parent;
  }

  /** @throws SandboxError; once `pending` was returned, a failure is kept in the sandbox's record instead */
  async create(request: CreateRequest, signal: AbortSignal, wait: CreateWait): Promise<SandboxView> {
    let intent: OwnershipRecord | null = null;
    let announce = (): void => {};
    const recorded = new Promise<null>((resolve) => {
      announce = () => resolve(null);
    });
    let over = false;
    let isAnswered = false;
    // The caller can cancel until the answer; the session's end always can.
    const cancelled = abortWith(signal);
    const { report } = wait;
    const work = this.#scope.run(cancelled.controller.signal, (either) =>
      createSandbox(this.#context, this.#parent, request, either, {
        onRecorded: (record) => {
          intent = record;
          wait.begun?.(record.sandboxId);
          announce();
        },
        onLive: (record) => {
          over = true;
          this.#parent.own(record, !isAnswered);
        },
        onFailure: () => {
          over = true;
          return isAnswered || isFetched(request);
        },
        report: report && ((line) => isAnswered || report(line)),
      }),
    );
    const timer = this.#timer(wait);
    try {
      const first = await Promise.race([work, timer.timeUp]);
      if (first !== null) return first;
      // Without a record there is no sandbox to show yet.
      await Promise.race([work, recorded]);
      // Almost finished or being undone: wait for the result.
      const begun = givenBy(() => intent);
      if (over || begun === null || signal.aborted) return await work;
      isAnswered = true;
      this.#parent.own(begun, true);
      this.#detach(begun, work);
      return await this.#viewSoon(begun, cancelled.controller.signal);
    } finally {
      timer.clear();
      cancelled.release();
    }
  }

  /**
   * The engine's view, or what the record says if the engine does not answer soon: the caller must be
   * answered.
   */
  async #viewSoon(record: OwnershipRecord, signal: AbortSignal): Promise<SandboxView> {
    const view = getSandboxView(this.#context, record, signal);
    return (await completesWithin(this.#context.clock, VIEW_MS, view)) ? view : pendingView(record);
  }

  /** The caller has been answered; the outcome is stored in the record. */
  #detach({ sandboxId }: OwnershipRecord, work: Promise<SandboxView>): void {
    work.catch((error: unknown) => {
      this.#context.log.warn({ sandbox_id: sandboxId, err: error }, 'A background create failed.');
    });
  }

  /** `timeUp` resolves with null after the soft timeout, if there is one. */
  #timer({ softTimeoutMs }: CreateWait): { timeUp: Promise<null>; clear: () => void } {
    const { clock } = this.#context;
    let timer: Timer | null = null;
    const timeUp = new Promise<null>((resolve) => {
      if (softTimeoutMs !== undefined) timer = clock.setTimeout(() => resolve(null), softTimeoutMs);
    });
    return { timeUp, clear: () => timer !== null && clock.clearTimeout(timer) };
  }
}

/** Fetching a remote source can fail in ways that are worth keeping for later. */
function isFetched({ source }: CreateRequest): boolean {
  return source?.type === 'git' || source?.type === 'tarball';
}

/** Reads a variable that a callback may have set: the compiler assumes that it is unchanged. */
function givenBy<Value>(read: () => Value): Value {
  return read();
}
