/**
 * The sandboxes of the stand-in: named ones with their sessions, each session a sandbox of the engine below.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Engine, Sandbox, SandboxStatus, Snapshot } from '../../../../src/engines/engine.ts';
import { anySignal } from '../../../../src/shared/async/any-signal.ts';
import { newSandboxId } from '../../../../src/shared/ids.ts';
import { ApiFailure } from '../wire/reply.ts';
import { Deadlines } from './deadlines.ts';
import { IdMap } from './id-map.ts';
import type { PolicyRequest } from './network-policy.ts';
import { policyBelow } from './network-policy.ts';
import { currentSession, type SandboxRecord, type SessionRecord } from './records.ts';
import { runBelow } from './run-below.ts';
import { CloudSnapshots } from './snapshots.ts';
import { asApi, never } from './work.ts';

const ENDING: readonly SandboxStatus[] = ['stopping', 'snapshotting'];
const ENDING_POLL_MS = 20;
/** For the snapshot of a persistent sandbox, beyond the deadline that the service tells. */
const SNAPSHOT_MS = 120_000;

export interface StartedCommand {
  sandbox: string;
  cmd: string;
  args: string[];
}

/** Effects, counted where they happen and not where they are answered. */
export interface Deeds {
  /** Each command that was really started, in order. */
  commands: StartedCommand[];
  /** Sessions that were started because a stopped sandbox was resumed. */
  resumed: string[];
  /** Names, in the order they were requested; deleted ones included. */
  created: string[];
}

export class Cloud {
  readonly engine: Engine;
  readonly deeds: Deeds = { commands: [], resumed: [], created: [] };
  /**
   * The working directory of the base images: older ones have the folder of the engine below, newer ones its
   * parent.
   */
  cwd = '/vercel/sandbox';
  readonly snapshots: CloudSnapshots;
  readonly commandIds = new IdMap('cmd');
  /** Commands of root, in the words of the engine below. */
  readonly asRoot = new Set<string>();
  readonly #sandboxes = new Map<string, SandboxRecord>();
  /** Those of deleted sandboxes included, since snapshots name them. */
  readonly #sessions = new Map<string, SessionRecord>();
  readonly #starting = new Map<string, Promise<unknown>>();
  readonly #ends = new Map<string, AbortController>();
  readonly #stops = new Map<string, Promise<Stopped>>();
  readonly #deadlines = new Deadlines();
  readonly #byBelow = new Map<string, SessionRecord>();

  readonly #failed: (error: unknown) => void;

  /** @param failed called when background work has failed */
  constructor(engine: Engine, failed: (error: unknown) => void) {
    this.engine = engine;
    this.#failed = failed;
    this.snapshots = new CloudSnapshots(engine, ({ sourceSandboxId }) => this.sessionBelow(sourceSandboxId));
  }

  /** A request about a sandbox that is being created is answered once it exists. */
  async sandbox(name: string): Promise<SandboxRecord> {
    await Promise.allSettled([this.#starting.get(name)]);
    const record = this.#sandboxes.get(name);
    if (record === undefined) throw new ApiFailure(404, 'not_found', `Sandbox not found: ${name}`);
    return record;
  }

  session(id: string): SessionRecord {
    const session = this.#sessions.get(id);
    if (session === undefined || !this.#sandboxes.has(session.sandbox.name))
      throw new ApiFailure(404, 'not_found', `Session not found: ${id}`);
    return session;
  }

  sessionBelow(sandboxId: string): SessionRecord | null {
    return this.#byBelow.get(sandboxId) ?? null;
  }

  /** Newest first. */
  all(): SandboxRecord[] {
    return [...this.#sandboxes.values()].filter(({ sessions }) => sessions.length > 0).reverse();
  }

  has(name: string): boolean {
    return this.#sandboxes.has(name);
  }

  async current(session: SessionRecord): Promise<Sandbox> {
    return this.engine.get(session.below, never());
  }

  /** The session, if it is active; the service refuses all other requests to one that is not. */
  async running(id: string): Promise<SessionRecord> {
    const session = this.session(id);
    const { status } = await this.current(session);
    if (status === 'running') return session;
    if (status === 'stopping' || status === 'snapshotting')
      throw new ApiFailure(422, `sandbox_${status}`, `Sandbox is ${status}`);
    throw new ApiFailure(410, 'sandbox_stopped', 'Sandbox is stopped and cannot be used');
  }

  /** Adds a record with its first session. */
  async add(record: SandboxRecord, start: StartSession): Promise<void> {
    if (this.#sandboxes.has(record.name))
      throw new ApiFailure(
        400,
        'bad_request',
        `A sandbox with the name '${record.name}' already exists for this project.`,
      );
    // Known before it runs, as two requests of one name would be there.
    this.#sandboxes.set(record.name, record);
    this.deeds.created.push(record.name);
    const starting = this.startSession(record, start);
    this.#starting.set(record.name, starting);
    try {
      await starting;
    } catch (error) {
      this.#sandboxes.delete(record.name);
      throw error;
    } finally {
      this.#starting.delete(record.name);
    }
  }

  async startSession(record: SandboxRecord, start: StartSession): Promise<SessionRecord> {
    const below = newSandboxId();
    const request = {
      sandboxId: below,
      runtime: null,
      ports: record.ports,
      timeoutMs: record.timeoutMs + (record.persistent ? SNAPSHOT_MS : 0),
      vcpus: record.vcpus,
      env: record.env,
      networkPolicy: policyBelow(record.policy),
      interactive: false,
      // The cloud outlives its clients.
      keep: true,
    };
    const { snapshotId } = start;
    const source =
      snapshotId === null
        ? null
        : { type: 'snapshot' as const, snapshotId: this.snapshots.ids.below(snapshotId) };
    const session: SessionRecord = {
      id: `ses_${randomBytes(8).toString('hex')}`,
      sandbox: record,
      below,
      timeoutMs: record.timeoutMs,
      requestedAt: Date.now(),
      requestedStopAt: null,
      stoppedAt: null,
      snapshottedAt: null,
      sourceSnapshotId: snapshotId,
      interactivePort: start.interactive ? 46_767 : null,
      policy: record.policy,
    };
    const { createdAt } = await asApi(() => this.engine.create({ ...request, source }, never()));
    // The engine below makes its own folder the user's.
    const script = 'mkdir -p "$0" && chown --reference=/vercel/sandbox "$0"';
    if (record.cwd !== '/vercel/sandbox')
      await runBelow(this.engine, below, 'sh', ['-c', script, record.cwd], { sudo: true });
    record.sessions.push(session);
    this.#sessions.set(session.id, session);
    this.#byBelow.set(below, session);
    this.#setDeadline(session, createdAt);
    return session;
  }

  /** Grants a running session more time. */
  async extend(session: SessionRecord, durationMs: number): Promise<void> {
    const { createdAt } = await asApi(() => this.engine.extendTimeout(session.below, durationMs, never()));
    session.timeoutMs += durationMs;
    this.#setDeadline(session, createdAt);
  }

  /** The engine below ends the others itself; of these it would delete the files. */
  #setDeadline(session: SessionRecord, startedAt: number): void {
    if (!session.sandbox.persistent) return;
    this.#deadlines.set(session.id, startedAt + session.timeoutMs, () => {
      this.stop(session, 'deadline').catch(this.#failed);
    });
  }

  /** Fires when the session ends: by request, or by its time. */
  life({ id, sandbox: { timeoutMs } }: SessionRecord): AbortSignal {
    const end = this.#ends.get(id) ?? new AbortController();
    this.#ends.set(id, end);
    return anySignal([end.signal, AbortSignal.timeout(timeoutMs)]);
  }

  /**
   * Ends a session, once. A persistent sandbox keeps its files: they become a snapshot, from which the next
   * session starts.
   */
  stop(session: SessionRecord, cause: 'request' | 'deadline'): Promise<Stopped> {
    const known = this.#stops.get(session.id);
    if (known !== undefined) return known;
    const stopping = this.#stop(session, cause);
    this.#stops.set(session.id, stopping);
    stopping.catch(() => this.#stops.delete(session.id));
    return stopping;
  }

  /** Lets the deadline of a persistent sandbox come now; resolves once its session has ended. */
  async passDeadline(name: string): Promise<void> {
    const session = currentSession(await this.sandbox(name));
    session.timeoutMs = Date.now() - (await this.current(session)).createdAt;
    await this.stop(session, 'deadline');
  }

  async #stop(session: SessionRecord, cause: 'request' | 'deadline'): Promise<Stopped> {
    this.#deadlines.clear(session.id);
    const { persistent, name, keepLastSnapshots, snapshotExpiration } = session.sandbox;
    const below = await this.current(session);
    if (cause === 'deadline' && below.status !== 'running') return { below, snapshot: null };
    if (!persistent || !this.has(name) || below.status !== 'running')
      return { below: await this.#end(session), snapshot: null };
    if (cause === 'request') session.requestedStopAt ??= Date.now();
    const expirationMs = keepLastSnapshots?.expiration ?? snapshotExpiration;
    const snapshot = await asApi(() => this.snapshots.take(session, expirationMs));
    session.stoppedAt = Date.now();
    return { below: await this.current(session), snapshot };
  }

  /** Resolves once nothing that ends the session is under way any more. */
  async settled(session: SessionRecord): Promise<void> {
    await Promise.allSettled([this.#stops.get(session.id)]);
    while (ENDING.includes((await this.current(session)).status)) await delay(ENDING_POLL_MS);
  }

  async #end(session: SessionRecord): Promise<Sandbox> {
    this.#ends.get(session.id)?.abort();
    session.requestedStopAt ??= Date.now();
    return asApi(() => this.engine.stop(session.below, 'requested', never()));
  }

  async setPolicy(session: SessionRecord, policy: PolicyRequest): Promise<void> {
    await asApi(async () => this.engine.networkPolicies?.update(session.below, policyBelow(policy), never()));
    session.policy = policy;
    session.sandbox.policy = policy;
  }

  /** Replaces the ports, also those of the session that runs. */
  async setPorts(record: SandboxRecord, ports: number[]): Promise<void> {
    const { below } = currentSession(record);
    const { expiresAt } = await this.current(currentSession(record));
    for (const port of expiresAt === null ? [] : ports)
      await asApi(async () => this.engine.ports?.expose(below, port, never()));
    record.ports = ports;
  }

  /** Stops and removes by name; its sessions stay known to snapshots. */
  async delete(record: SandboxRecord): Promise<Sandbox> {
    this.#deadlines.clear(currentSession(record).id);
    const ended = await this.#end(currentSession(record));
    this.#sandboxes.delete(record.name);
    return ended;
  }

  /** Stops and removes everything, snapshots included. */
  async end(): Promise<void> {
    const { snapshots } = this.engine;
    this.#deadlines.clearAll();
    for (const session of this.#sessions.values()) await this.engine.forget(session.below, never());
    if (snapshots === undefined) return;
    const { items } = await snapshots.list({ limit: 100, since: null, until: null, cursor: null }, never());
    for (const { snapshotId } of items) await snapshots.delete(snapshotId, never());
  }

  /** The names whose current session has not ended: what would cost money. */
  async alive(): Promise<string[]> {
    const names: string[] = [];
    for (const session of this.#sessions.values()) {
      if ((await this.current(session)).expiresAt !== null) names.push(session.sandbox.name);
    }
    return names;
  }
}

interface Stopped {
  below: Sandbox;
  /** What a persistent sandbox starts from next; null for others. */
  snapshot: Snapshot | null;
}

export interface StartSession {
  snapshotId: string | null;
  interactive: boolean;
}
