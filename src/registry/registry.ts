import { join } from 'node:path';
import type { Engine, UploadPack } from '../engines/engine.ts';
import { KeyedLock } from '../shared/async/keyed-lock.ts';
import { type Clock, completesWithin } from '../shared/clock.ts';
import { SandboxError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import { SharedLock } from '../shared/store/shared-lock.ts';
import type { Store } from '../shared/store/store.ts';
import type { RegistryConfig, RegistryContext } from './context.ts';
import type { ExposedPort, SandboxOwner } from './port-types.ts';
import { StagedDownloads } from './records/download-staging.ts';
import { PROCESS_OWNERS, sessionOwners } from './records/owner.ts';
import { RecordStore } from './records/record-store.ts';
import { type OwnershipRecord, sandboxRecords } from './records/sandbox-record.ts';
import { SharedRecords } from './records/shared-records.ts';
import { snapshotRecords } from './records/snapshot-record.ts';
import { type Recovered, recoverSandboxes } from './recovery/recover-sandboxes.ts';
import { countedRecords } from './sandboxes/admission.ts';
import { OPEN_SHELLS, Quota, type Quotas, RUNNING_COMMANDS } from './sandboxes/quota.ts';
import { RegistrySession } from './session/session.ts';
import type { MovableSession, Registry, SessionEndReason, SessionOptions } from './types.ts';

/** An engine that hangs while closing must not keep the process alive. */
const CLOSE_ENGINE_MS = 300;

export interface RegistryOptions {
  engine: Engine;
  config: RegistryConfig;
  log: Logger;
  clock: Clock;
  /** Absolute. Ownership records are in its `records` folder. */
  stateDir: string;
  /** Holds the ownership records instead if several replicas share it. Closed with the registry. */
  store?: Store;
  /**
   * Called when a session ends before its sandboxes do: starts a recovery that outlives this process. Without
   * it, the rest is left to the next start.
   */
  finishLater?: () => void;
}

/** All sessions of this process on one engine. */
export function createRegistry(options: RegistryOptions): Registry {
  const { engine, config, log, clock, stateDir, store } = options;
  const records = join(stateDir, 'records');
  return new SessionRegistry(
    {
      engine,
      config,
      log,
      clock,
      ...(store === undefined
        ? {
            store: new RecordStore(sandboxRecords, records, log),
            snapshots: new RecordStore(snapshotRecords, join(records, 'snapshots'), log),
            owners: PROCESS_OWNERS,
            lock: new KeyedLock(),
          }
        : {
            store: new SharedRecords(sandboxRecords, store, log),
            snapshots: new SharedRecords(snapshotRecords, store, log),
            owners: sessionOwners(store),
            lock: new SharedLock(store),
          }),
      stagedDownloads: new StagedDownloads(join(records, 'downloads'), log),
      published: { urlOf: null, repositoryUrl: null },
      finishLater: options.finishLater ?? (() => {}),
    },
    store,
  );
}

class SessionRegistry implements Registry {
  readonly #context: RegistryContext;
  readonly #shared: Store | undefined;
  readonly #sessions = new Set<RegistrySession>();
  readonly #quotas = new Map<string, Quotas>();
  #closing: Promise<void> | null = null;

  constructor(context: RegistryContext, shared: Store | undefined) {
    this.#context = context;
    this.#shared = shared;
  }

  openSession(principal: string, options: SessionOptions = {}): MovableSession {
    if (this.#closing !== null) {
      throw new SandboxError('unavailable', 'The server is shutting down.', { hint: 'Reconnect later.' });
    }
    const session: RegistrySession = new RegistrySession(
      this.#context,
      principal,
      this.#quotasOf(principal),
      options,
      () => {
        this.#sessions.delete(session);
        this.#forgetQuotas(principal);
      },
    );
    this.#sessions.add(session);
    return session;
  }

  recover(signal: AbortSignal, { includeDamaged = false } = {}): Promise<Recovered> {
    return recoverSandboxes(this.#context, signal, includeDamaged);
  }

  async usage(): ReturnType<Registry['usage']> {
    const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
    const quotas = [...this.#quotas.values()];
    const records = await countedRecords(this.#context);
    const served = new Set([...this.#sessions].map(({ sessionId }) => sessionId));
    // Every replica sees those of all.
    const isOurs = ({ owner }: OwnershipRecord) =>
      !this.#context.owners.isShared || (owner !== null && served.has(owner.sessionId));
    return {
      sandboxes: records.filter(isOurs).length,
      commands: sum(quotas.map(({ commands }) => commands.used)),
      shells: sum(quotas.map(({ shells }) => shells.used)),
    };
  }

  publishPorts(urlOf: (port: ExposedPort) => string): void {
    this.#context.published.urlOf = urlOf;
  }

  forwardedUrl(sandboxId: string, port: number): string | null {
    return this.#context.engine.ports?.forwardedUrl?.(sandboxId, port) ?? null;
  }

  publishRepositories(urlOf: (sandbox: SandboxOwner) => string | Promise<string>): void {
    this.#context.published.repositoryUrl = urlOf;
  }

  uploadPack(request: UploadPack, signal: AbortSignal): AsyncIterable<Buffer> {
    const { git, name } = this.#context.engine;
    if (git !== undefined) return git.uploadPack(request, signal);
    throw new SandboxError('unsupported', `Nothing can be fetched from sandboxes of the ${name} engine.`);
  }

  close(reason: SessionEndReason): Promise<void> {
    this.#closing ??= this.#close(reason).finally(() => this.#shared?.close());
    return this.#closing;
  }

  async #close(reason: SessionEndReason): Promise<void> {
    const { engine, clock, log, finishLater } = this.#context;
    const emptied = engine.stock?.empty() ?? Promise.resolve();
    // Its failure shows below.
    emptied.catch(() => {});
    await Promise.all([...this.#sessions].map((session) => session.end(reason)));
    try {
      const inTime = await completesWithin(clock, CLOSE_ENGINE_MS, Promise.all([emptied, engine.close()]));
      if (inTime) return;
      log.warn('The engine did not close in time.');
    } catch (error) {
      log.error({ err: error }, 'Could not close the engine.');
    }
    if (engine.stock !== undefined) finishLater();
  }

  /** One per principal, shared by all its sessions. */
  #quotasOf(principal: string): Quotas {
    const { maxRunningCommands, maxShells } = this.#context.config;
    const quotas = this.#quotas.get(principal) ?? {
      commands: new Quota(RUNNING_COMMANDS, maxRunningCommands),
      shells: new Quota(OPEN_SHELLS, maxShells),
    };
    this.#quotas.set(principal, quotas);
    return quotas;
  }

  /** Authorization servers name any number of principals; those without a session have nothing to count. */
  #forgetQuotas(principal: string): void {
    if ([...this.#sessions].some((session) => session.principal === principal)) return;
    const quotas = this.#quotas.get(principal);
    if (quotas?.commands.used === 0 && quotas.shells.used === 0) this.#quotas.delete(principal);
  }
}
