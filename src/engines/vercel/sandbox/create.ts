/** Creates a sandbox; this either succeeds or leaves nothing behind that this machine does not know of. */

import { setTimeout as delay } from 'node:timers/promises';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { unknownSnapshot } from '../../../shared/id-errors.ts';
import { SessionMoved } from '../../../shared/session-ended.ts';
import type { CreateSandbox, Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import {
  fromPlatform,
  isSandboxMissing,
  isSnapshotMissing,
  mayHaveHappened,
  platformMessage,
} from '../http/api-errors.ts';
import type { CreateParams } from '../http/sdk-client.ts';
import { masked } from '../policy/network-policy.ts';
import {
  readRecord,
  removeRecord,
  type SandboxRecord,
  updateRecord,
  writeIntent,
} from '../state/sandbox-record.ts';
import { endedMeanwhile, nameIsTaken, noTerminalsForPeople } from './create-errors.ts';
import { paramsOf, planOf } from './create-params.ts';
import { currentView } from './get-sandbox.ts';
import { type Leases, newLease } from './lease.ts';
import { orUndone } from './or-undone.ts';
import { pendingView } from './pending-view.ts';
import { removeFromCloud, stopInCloud } from './remove.ts';
import { located } from './repository-path.ts';
import { startOf } from './sandbox-view.ts';
import { checkSource, fetchedSource, sourceFailure, tooSlow } from './source.ts';

/** How long a cancelled caller waits for the cleanup; the rest continues in the background. */
const UNDO_MS = 10_000;
/** How long a server that leaves a create to another replica waits for it. */
const LEAVE_MS = 1_000;
const FIND_MS = 15_000;
/** How much longer than the sandbox's own timeout to wait for the response to its creation. */
const START_MS = 10_000;

/** A sandbox of the requested name that is older was not created by the request. */
const OLDER_MS = 15 * 60_000;

const never = new AbortController().signal;

/** Creations in progress, and the cleanup of abandoned ones. */
export class Creations {
  readonly #context: VercelContext;
  readonly #leases: Leases;
  readonly #pending = new Map<string, Promise<unknown>>();

  constructor(context: VercelContext, leases: Leases) {
    this.#context = context;
    this.#leases = leases;
  }

  /** Resolves when this process is neither creating nor cleaning up the sandbox any more. */
  async settled(sandboxId: string): Promise<void> {
    await Promise.allSettled([this.#pending.get(sandboxId)]);
  }

  /** @throws SandboxError for the request, from the platform, or `cancelled` */
  async create(
    request: CreateSandbox,
    signal: AbortSignal,
    report?: (line: string) => void,
  ): Promise<Sandbox> {
    const { sandboxId } = request;
    throwIfCancelled(signal);
    const { record, params } = await this.#plan(request);
    throwIfCancelled(signal);
    await writeIntent(this.#context.layout, record);
    const source = fetchedSource(request);
    if (source !== null) report?.(`Fetching ${source.url}`);
    // Not the caller's signal: an aborted request may still be carried out; one that is waited for reports
    // its outcome.
    const making = this.#make(request, params, signal);
    this.#pending.set(sandboxId, making);
    try {
      // Fetching a source may take minutes more.
      const isKept = () => source === null || signal.reason instanceof SessionMoved;
      const onAbort = () => (isKept() ? undefined : this.#takeBack(sandboxId));
      const waitMs = () => (signal.reason instanceof SessionMoved ? LEAVE_MS : UNDO_MS);
      return await orUndone(making, signal, onAbort, waitMs);
    } finally {
      void Promise.allSettled([making]).then(() => this.#pending.delete(sandboxId));
    }
  }

  /**
   * Renews the lease of a sandbox from now on; first completes a create that another replica began.
   *
   * @throws SandboxError `not_found` if the cloud does not have it
   */
  async takeOver(sandboxId: string, signal: AbortSignal): Promise<void> {
    const record = await readRecord(this.#context.layout, sandboxId);
    if (this.#context.replica === null || record?.state !== 'creating' || this.#pending.has(sandboxId))
      return this.#leases.hold(sandboxId);
    const latest = record.requestedAt + this.#context.tuning.longHeadersMs;
    try {
      await this.#deliver(await this.#appeared(sandboxId, latest, signal), signal);
    } catch (error) {
      throw fromPlatform(error, { doing: 'create a sandbox', sandboxId }, signal);
    }
  }

  /** The running sandbox; it may take until `latest`, in epoch ms, to appear. */
  async #appeared(sandboxId: string, latest: number, signal: AbortSignal): Promise<Sandbox> {
    for (;;) {
      try {
        const view = await this.#started(sandboxId, signal);
        if (view.status === 'running') return view;
        throw endedMeanwhile(sandboxId);
      } catch (error) {
        if (!isSandboxMissing(error) || Date.now() > latest) throw error;
        await delay(this.#context.tuning.pollMs, undefined, { signal });
      }
    }
  }

  /** Rejects everything that can be rejected before anything is stored or requested. */
  async #plan(request: CreateSandbox): Promise<{ record: SandboxRecord; params: CreateParams }> {
    const { sandboxId, networkPolicy } = request;
    const { teamId, projectId } = await this.#context.cloud.credentials();
    if (request.interactive) throw noTerminalsForPeople();
    this.#context.readPolicy(networkPolicy);
    const source = fetchedSource(request);
    if (source !== null) checkSource(this.#context, source, request);
    const { choice, runtime } = await planOf(this.#context, request);
    const lease = newLease(this.#context.tuning, request);
    const params = paramsOf(this.#context, request, choice, lease?.grantedMs ?? request.timeoutMs);
    const requestedAt = Date.now();
    const policy = masked(networkPolicy);
    const lastSeen = pendingView({ ...request, runtime, networkPolicy: policy }, requestedAt);
    const requestedStop = null;
    const known = { sandboxId, teamId, projectId, requestedAt, runtime, policy, lastSeen };
    const record = {
      ...known,
      requestedStop,
      snapshotSession: null,
      sourcePath: null,
      sessionId: null,
      lease,
      persistent: request.persistent !== undefined,
    };
    return { record: { version: 1, state: 'creating', ...record }, params };
  }

  async #make(request: CreateSandbox, params: CreateParams, signal: AbortSignal): Promise<Sandbox> {
    const { sandboxId, timeoutMs } = request;
    const { cloud } = this.#context;
    const begun = performance.now();
    const fetches = fetchedSource(request) !== null;
    const isLate = () => fetches && performance.now() - begun >= timeoutMs;
    try {
      await cloud.create(params, fetches ? AbortSignal.timeout(timeoutMs + START_MS) : never);
    } catch (error) {
      await this.#requireFound(request, error, isLate());
    }
    try {
      throwIfCancelled(signal);
      const view = await this.#started(sandboxId, signal);
      if (view.status === 'running')
        return await this.#deliver(await located(this.#context, view, request), signal);
      if (await this.#wasStopped(sandboxId)) throw endedMeanwhile(sandboxId);
      if (isLate()) throw tooSlow(request);
      throw new SandboxError('server', `Vercel could not create the sandbox: it is ${view.status}.`, {
        hint: 'Call sandbox_create again; a source that cannot be fetched is the usual reason.',
      });
    } catch (error) {
      // Another replica completes it.
      if (signal.reason instanceof SessionMoved) throw error;
      if (await this.#wasStopped(sandboxId)) throw await this.#stopped(sandboxId);
      await this.#undo(sandboxId);
      throw fromPlatform(error, { doing: 'create a sandbox', sandboxId }, signal);
    }
  }

  /** The sandbox once its creation is complete. */
  async #started(sandboxId: string, signal: AbortSignal): Promise<Sandbox> {
    const { layout, tuning } = this.#context;
    for (;;) {
      const view = await currentView(this.#context, sandboxId, await readRecord(layout, sandboxId), signal);
      if (view.status !== 'pending') return view;
      await delay(tuning.pollMs, undefined, { signal });
    }
  }

  /**
   * From here on its real state is reported. A caller that stopped it meanwhile was already told that it
   * ended.
   */
  async #deliver(view: Sandbox, signal: AbortSignal): Promise<Sandbox> {
    const { replica } = this.#context;
    let [isOut, isMade] = [false, false];
    await updateRecord(this.#context.layout, view.sandboxId, (record) => {
      isOut = record.state === 'creating' && record.requestedStop === null;
      // Another replica was faster.
      isMade = replica !== null && record.state === 'made' && record.requestedStop === null;
      const session = this.#context.cloud.known(view.sandboxId);
      const sessionId = session?.sessionId ?? null;
      const lease = record.lease && { ...record.lease, startedAt: session && startOf(session) };
      const { sourcePath } = view;
      return isOut ? { ...record, state: 'made', lastSeen: view, sourcePath, sessionId, lease } : record;
    });
    if (isOut || isMade) {
      await this.#leases.hold(view.sandboxId);
      return view;
    }
    throwIfCancelled(signal);
    throw endedMeanwhile(view.sandboxId);
  }

  async #wasStopped(sandboxId: string): Promise<boolean> {
    const record = await readRecord(this.#context.layout, sandboxId);
    return record !== null && record.requestedStop !== null && record.state !== 'doubtful';
  }

  /** Ensures the end that was requested during its creation. Returns the error for the creator. */
  async #stopped(sandboxId: string): Promise<SandboxError> {
    try {
      await stopInCloud(this.#context, sandboxId, AbortSignal.timeout(FIND_MS));
    } catch (error) {
      await this.#doubt(sandboxId);
      this.#context.log.error({ sandbox_id: sandboxId, err: error }, 'cannot stop a sandbox yet');
    }
    return endedMeanwhile(sandboxId);
  }

  /**
   * After a creation without a clear response: resolves if the sandbox was created; otherwise throws the
   * error to report.
   */
  async #requireFound(request: CreateSandbox, error: unknown, isLate: boolean): Promise<void> {
    const { sandboxId, source } = request;
    const { cloud, layout } = this.#context;
    if (await this.#wasStopped(sandboxId)) throw await this.#stopped(sandboxId);
    if (isLate) {
      await this.#undo(sandboxId);
      throw tooSlow(request);
    }
    const failure = fromPlatform(error, { doing: 'create a sandbox', sandboxId });
    if (!mayHaveHappened(error)) {
      await removeRecord(layout, sandboxId);
      if (request.persistent !== undefined && /already exists/.test(platformMessage(error)))
        throw nameIsTaken(request.persistent.name, sandboxId);
      if (source?.type === 'snapshot' && isSnapshotMissing(error)) throw unknownSnapshot(source.snapshotId);
      const fetched = fetchedSource(request);
      const message = platformMessage(error);
      throw fetched === null ? failure : sourceFailure(this.#context, fetched, failure, message);
    }
    try {
      const { createdAt } = await cloud.get(sandboxId, AbortSignal.timeout(FIND_MS));
      const isOlder = createdAt.getTime() < Date.now() - OLDER_MS;
      if (request.persistent === undefined || !isOlder) return;
    } catch (second) {
      if (!isSandboxMissing(second))
        this.#context.log.warn(
          { sandbox_id: sandboxId, err: second },
          'unknown whether a sandbox was created',
        );
      await this.#doubt(sandboxId);
      throw new SandboxError(
        failure.code,
        `${failure.message} It is unknown whether sandbox ${sandboxId} was created; it is removed as soon as it appears.`,
        { hint: failure.hint, details: { ...failure.details, sandbox_id: sandboxId }, cause: error },
      );
    }
    // A named sandbox that existed before.
    await removeRecord(layout, sandboxId);
    throw nameIsTaken(request.persistent.name, sandboxId);
  }

  async #undo(sandboxId: string): Promise<void> {
    if (await this.#takeBack(sandboxId)) await removeRecord(this.#context.layout, sandboxId);
  }

  /** Removes the sandbox from the cloud. Its record stays, since it may still appear later. Never rejects. */
  async #takeBack(sandboxId: string): Promise<boolean> {
    // Another replica may have completed it.
    if (this.#context.replica?.isCurrent() === false) return false;
    try {
      await this.#doubt(sandboxId);
      await removeFromCloud(this.#context, sandboxId, AbortSignal.timeout(UNDO_MS));
      return true;
    } catch (error) {
      this.#context.log.error({ sandbox_id: sandboxId, err: error }, 'cannot remove a failed sandbox yet');
      return false;
    }
  }

  async #doubt(sandboxId: string): Promise<void> {
    const { layout } = this.#context;
    await updateRecord(layout, sandboxId, (record) => ({ ...record, state: 'doubtful', lastSeen: null }));
  }
}
