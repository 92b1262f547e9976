import type { ListQuery, Page } from '../../engines/engine.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { unknownCommand } from '../../shared/id-errors.ts';
import { newSessionId } from '../../shared/ids.ts';
import { SessionMoved } from '../../shared/session-ended.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { BackgroundCreates } from '../sandboxes/background-create.ts';
import { Leases } from '../sandboxes/keep-alive.ts';
import { adoptSandbox, resumeIfStopped } from '../sandboxes/persistence.ts';
import type { Quotas } from '../sandboxes/quota.ts';
import { listSandboxes } from '../sandboxes/sandbox-list.ts';
import { findRecord, noCurrentSandbox } from '../sandboxes/sandbox-lookup.ts';
import { TaskScope } from '../sandboxes/task-scope.ts';
import { PrincipalSnapshots } from '../snapshots/principal-snapshots.ts';
import type {
  CommandHandle,
  CreateRequest,
  CreateWait,
  MovableSession,
  SandboxHandle,
  SandboxView,
  SessionEndReason,
  SessionInfo,
  SessionLimits,
  SessionOptions,
  SessionSnapshots,
  SessionState,
  ShellHandle,
} from '../types.ts';
import { RegistryCommandHandle, requireSandboxOf } from './command-handle.ts';
import { resumeSession } from './resume-session.ts';
import { RegistrySandboxHandle } from './sandbox-handle.ts';
import { SessionCommands } from './session-commands.ts';
import { releaseSession } from './session-end.ts';
import { describeSession } from './session-info.ts';
import { SessionSandboxes } from './session-sandboxes.ts';
import { SessionShells } from './session-shells.ts';
import { SessionTransfers } from './transfers.ts';

/**
 * One conversation: its current sandbox, the sandboxes it created or attached to, and its commands and
 * shells.
 */
export class RegistrySession implements MovableSession {
  readonly sessionId: string;
  readonly principal: string;
  readonly limits: SessionLimits;
  readonly snapshots: SessionSnapshots;
  readonly #context: RegistryContext;
  readonly #scope = new TaskScope();
  readonly #leases: Leases;
  readonly #creates: BackgroundCreates;
  readonly #commands: SessionCommands;
  readonly #shells: SessionShells;
  readonly #transfers: SessionTransfers;
  readonly #sandboxes: SessionSandboxes;
  readonly #onEnd: () => void;
  #ending: Promise<void> | null = null;

  /** `onEnd` is called when the session has ended. */
  constructor(
    context: RegistryContext,
    principal: string,
    quotas: Quotas,
    { state, onChange }: SessionOptions,
    onEnd: () => void,
  ) {
    const initial = state ?? { sessionId: newSessionId(), created: 0, currentSandboxId: null };
    this.sessionId = initial.sessionId;
    const { maxSandboxes, maxRunningCommands, maxShells, maxVcpus, maxSnapshots, maxLifetimeMs } =
      context.config;
    this.principal = principal;
    this.limits = { maxSandboxes, maxRunningCommands, maxShells, maxVcpus, maxSnapshots, maxLifetimeMs };
    this.#context = { ...context, log: context.log.child({ session_id: this.sessionId, principal }) };
    const { store, log } = this.#context;
    this.#sandboxes = new SessionSandboxes(initial, store, log, () => onChange?.(this.state));
    this.#leases = new Leases(this.#context);
    this.#creates = new BackgroundCreates(this.#context, this.#scope, {
      sessionId: this.sessionId,
      principal,
      own: (record, current) => this.#sandboxes.own(record, current),
    });
    this.#commands = new SessionCommands(this.#context, quotas.commands, this.#leases);
    this.#shells = new SessionShells(this.#context, quotas.shells, this.#leases);
    this.#transfers = new SessionTransfers(this.#context, this.#scope, this.#leases);
    this.snapshots = new PrincipalSnapshots(this.#context, principal, this.#scope);
    this.#onEnd = onEnd;
  }

  get state(): SessionState {
    const { created, current } = this.#sandboxes;
    return { sessionId: this.sessionId, created, currentSandboxId: current };
  }

  get created(): number {
    return this.#sandboxes.created;
  }

  create(request: CreateRequest, signal: AbortSignal, wait: CreateWait = {}): Promise<SandboxView> {
    return this.#creates.create(request, signal, wait);
  }

  attach(
    sandboxId: string | undefined,
    signal: AbortSignal,
    { resume = true }: { resume?: boolean } = {},
  ): Promise<SandboxView> {
    return this.#scope.run(signal, async (either) => {
      const record = await this.#findOrAdopt(sandboxId, either);
      const handle = this.#handle(record);
      const found = await handle.view(either);
      const view = resume ? await resumeIfStopped(this.#context, record, found, either) : found;
      this.#sandboxes.select(view.status === 'running' ? { ...record, state: 'live' } : record);
      if (view.status !== 'running') return view;
      if (!record.keep) await this.#takeOwnership(record.sandboxId, either);
      const needsNobody = view.ports.length === 0 && this.#context.engine.networkPolicies === undefined;
      if (needsNobody) return view;
      await this.#openPorts(record.sandboxId, either);
      return handle.view(either);
    });
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page<SandboxView>> {
    this.#scope.requireOpen();
    return listSandboxes(this.#context, this.principal, query, signal);
  }

  async sandbox(sandboxId: string | undefined): Promise<SandboxHandle> {
    this.#scope.requireOpen();
    return this.#handle(await this.#find(sandboxId));
  }

  async owns(sandboxId: string): Promise<boolean> {
    if (this.#sandboxes.owns(sandboxId)) return true;
    const record = await this.#context.store.read(sandboxId);
    return record?.owner?.sessionId === this.sessionId;
  }

  async command(commandId: string): Promise<CommandHandle> {
    this.#scope.requireOpen();
    const sandboxId = requireSandboxOf(commandId);
    let record: OwnershipRecord;
    try {
      record = await findRecord(this.#context, this.principal, sandboxId);
    } catch (error) {
      throw error instanceof SandboxError && error.code === 'not_found' ? unknownCommand(commandId) : error;
    }
    const { commands } = this.#context.engine;
    return new RegistryCommandHandle(commandId, this.#handle(record), commands, this.#commands);
  }

  shell(shellId: string): ShellHandle {
    this.#scope.requireOpen();
    return this.#shells.get(shellId);
  }

  async info(signal: AbortSignal): Promise<SessionInfo> {
    this.#scope.requireOpen();
    return describeSession(
      this.#context,
      {
        sessionId: this.sessionId,
        principal: this.principal,
        currentSandboxId: this.#sandboxes.current,
        sandboxes: this.#sandboxes.members,
        commandIds: this.#commands.ids(),
        shells: this.#shells.list(),
        limits: this.limits,
      },
      signal,
    );
  }

  end(reason: SessionEndReason): Promise<void> {
    this.#ending ??= this.#end(reason);
    return this.#ending;
  }

  resume(): Promise<void> {
    const parts = { commands: this.#commands, sandboxes: this.#sandboxes };
    return resumeSession(this.#context, this.sessionId, this.#scope, parts);
  }

  leave(): Promise<void> {
    this.#ending ??= this.#leave();
    return this.#ending;
  }

  async #leave(): Promise<void> {
    this.#commands.close();
    for (const { sandboxId } of this.#sandboxes.liveOwned) this.#context.engine.ownership?.giveUp(sandboxId);
    await Promise.all([this.#scope.close(new SessionMoved()), this.#shells.close()]);
    this.#transfers.close();
    this.#leases.close();
    this.#onEnd();
  }

  async #end(reason: SessionEndReason): Promise<void> {
    this.#context.log.info({ reason, sandboxes: this.#sandboxes.created }, 'The session is ending.');
    await releaseSession(this.#context, {
      // Ending the scope ends those in state `creating`.
      owned: () => this.#sandboxes.liveOwned,
      scope: this.#scope,
      commands: this.#commands,
      shells: this.#shells,
    });
    this.#transfers.close();
    this.#leases.close();
    this.#onEnd();
  }

  /**
   * From now on the sandbox ends with the last of its owners, and this process is one of them. A failure must
   * not hide the sandbox's state.
   */
  async #takeOwnership(sandboxId: string, signal: AbortSignal): Promise<void> {
    const { engine, store, owners, log } = this.#context;
    if (engine.ownership === undefined) return;
    try {
      // Record the ownership first: another server's recovery must not end a sandbox that this process
      // attached to.
      const record = await store.update(sandboxId, (present) => owners.withCoOwner(present));
      // Its owner is another session, wherever that is served.
      if (owners.isShared && record?.owner?.sessionId !== this.sessionId) return;
      await engine.ownership.take(sandboxId, signal);
    } catch (error) {
      throwIfCancelled(signal);
      log.warn(
        { sandbox_id: sandboxId, err: error },
        'Could not become an owner of a sandbox; it ends with its other owners.',
      );
    }
  }

  /** A port that cannot be opened is shown without a URL; the error must not hide the sandbox's state. */
  async #openPorts(sandboxId: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#context.engine.ports?.open(sandboxId, signal);
    } catch (error) {
      throwIfCancelled(signal);
      this.#context.log.warn({ sandbox_id: sandboxId, err: error }, 'Could not open the ports of a sandbox.');
    }
  }

  /** Also one that another state directory created, where the engine knows it. */
  async #findOrAdopt(sandboxId: string | undefined, signal: AbortSignal): Promise<OwnershipRecord> {
    try {
      return await this.#find(sandboxId);
    } catch (error) {
      if (!(error instanceof SandboxError) || error.code !== 'not_found' || sandboxId === undefined)
        throw error;
      const adopted = await adoptSandbox(this.#context, this.principal, sandboxId, signal);
      if (adopted === null) throw error;
      return adopted;
    }
  }

  async #find(sandboxId: string | undefined): Promise<OwnershipRecord> {
    const wanted = sandboxId ?? this.#sandboxes.current;
    if (wanted === null) throw noCurrentSandbox();
    return findRecord(this.#context, this.principal, wanted);
  }

  #handle(record: OwnershipRecord): RegistrySandboxHandle {
    return new RegistrySandboxHandle(
      this.#context,
      record,
      this.#scope,
      this.#commands,
      this.#shells,
      this.#transfers,
    );
  }
}
