import { abortWith } from '../../shared/async/on-abort.ts';
import type { Timer } from '../../shared/clock.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { CreateRequest, CreateWait, SandboxView } from '../types.ts';
import { createSandbox } from './create-sandbox.ts';
import { getSandboxView } from './sandbox-view.ts';
import type { TaskScope } from './task-scope.ts';

/** The session that sandboxes are made for. */
export interface SessionOwner {
  readonly sessionId: string;
  readonly principal: string;
  /** A record of a sandbox to be (`creating`) or that lives; `current` where the caller is answered with it just now. */
  own(record: OwnershipRecord, current: boolean): void;
}

/** Creates the sandboxes of one session. After the soft timeout the caller gets a pending sandbox, and the create continues. */
export class BackgroundCreates {
  readonly #context: RegistryContext;
  readonly #scope: TaskScope;
  readonly #parent: SessionOwner;

  constructor(context: RegistryContext, scope: TaskScope, parent: SessionOwner) {
    this.#context = context;
    this.#scope = scope;
    this.#parent = parent;
  }

  /** @throws SandboxError; once it has answered `pending`, a failure is kept in the sandbox's record instead */
  async create(request: CreateRequest, signal: AbortSignal, wait: CreateWait): Promise<SandboxView> {
    let intent: OwnershipRecord | null = null;
    let over = false;
    let handedOff = false;
    // The caller's signal counts until the answer; the session's end counts always.
    const cancelled = abortWith(signal);
    const { report } = wait;
    const work = this.#scope.run(cancelled.controller.signal, (either) =>
      createSandbox(this.#context, this.#parent, request, either, {
        onRecorded: (record) => {
          intent = record;
        },
        onLive: (record) => {
          over = true;
          this.#parent.own(record, !handedOff);
        },
        onFailure: () => {
          over = true;
          return handedOff || isFetched(request);
        },
        report: report && ((line) => handedOff || report(line)),
      }),
    );
    const timer = this.#timer(wait);
    try {
      const first = await Promise.race([work, timer.timeUp]);
      if (first !== null) return first;
      // Nearly done, or undone: the answer is a moment away. Without an intent there is nothing to be told yet.
      const begun = givenBy(() => intent);
      if (over || begun === null || signal.aborted) return await work;
      handedOff = true;
      this.#parent.own(begun, true);
      this.#goOn(begun, work);
      return await getSandboxView(this.#context, begun, cancelled.controller.signal);
    } finally {
      timer.clear();
      cancelled.release();
    }
  }

  /** The caller has been answered; the outcome is stored in the record. */
  #goOn({ sandboxId }: OwnershipRecord, work: Promise<SandboxView>): void {
    work.catch((error: unknown) => {
      this.#context.log.warn({ sandbox_id: sandboxId, err: error }, 'A sandbox could not be made.');
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

/** A source that comes from elsewhere can fail in ways that are worth looking up later. */
function isFetched({ source }: CreateRequest): boolean {
  return source?.type === 'git' || source?.type === 'tarball';
}

/** What a callback has set meanwhile; the compiler does not see that it may have. */
function givenBy<Value>(read: () => Value): Value {
  return read();
}
