/**
 * A stand-in for an engine: sandboxes and commands are entries of maps, with the life cycle defined by the
 * contract. Nothing runs, commands write no output and end when the test says so; there are no files.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type {
  CreateSandbox,
  Engine,
  EngineLimits,
  GitRepositories,
  KillCause,
  Page,
  Persistence,
  Ports,
  Runtimes,
  Sandbox,
  SandboxStatus,
  Snapshots,
  Sources,
  Stock,
  StopCause,
  Workspaces,
} from '../../src/engines/engine.ts';
import { SandboxError, throwIfCancelled } from '../../src/shared/errors.ts';
import { unknownSandbox } from '../../src/shared/id-errors.ts';
import { MemoryCommands, noFiles } from './memory-commands.ts';

export type Operation =
  | 'create'
  | 'get'
  | 'extendTimeout'
  | 'stop'
  | 'forget'
  | 'recover'
  | 'open'
  | 'listeners'
  | 'close';

const ENDED = ['stopped', 'aborted', 'failed'];

export class MemoryEngine implements Engine {
  readonly name = 'oci' as const;
  readonly commands: MemoryCommands;
  readonly files = noFiles;
  ports: Ports;
  /** Undefined unless a test sets it. */
  snapshots?: Snapshots;
  workspaces?: Workspaces;
  git?: GitRepositories;
  /** The same. */
  sources?: Sources;
  /** The same. */
  persistence?: Persistence;
  /**
   * How long a sandbox takes to start, stop, change its ports or become a snapshot; meanwhile it is reported in
   * the state that says so.
   */
  changeMs = 0;
  /** The same. */
  stock?: Stock;
  /** Every call that reached the engine, as `operation id`, in order. */
  readonly calls: string[] = [];
  readonly engineLimits: EngineLimits = {
    isolation: 'none (stand-in)',
    networkModes: ['deny-all'],
    defaultNetworkPolicy: { mode: 'deny-all' },
    defaultVcpus: 1,
    maxVcpus: 4,
    memoryMbPerVcpu: 2048,
    diskMb: null,
    notEnforced: [],
  };
  readonly #now: () => number;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #held = new Map<Operation, { entered: () => void; opened: Promise<void> }>();
  readonly #failures = new Map<string, Error>();

  constructor(now: () => number) {
    this.#now = now;
    this.commands = new MemoryCommands(now, (sandboxId) => this.#fresh(sandboxId));
    this.ports = {
      open: async (sandboxId, signal) => {
        await this.#enter('open', sandboxId, signal);
        const sandbox = this.#fresh(sandboxId);
        for (const port of sandbox.ports) port.url = `http://127.0.0.1:${port.port}`;
      },
      expose: async (sandboxId, port, signal) => {
        await this.#enter('open', sandboxId, signal);
        if (this.changeMs > 0) await delay(this.changeMs);
        this.#fresh(sandboxId).ports.push({ port, url: `http://127.0.0.1:${port}` });
      },
      forwardedUrl: (sandboxId, port) =>
        this.#sandboxes.get(sandboxId)?.ports.find((each) => each.port === port)?.url ?? null,
      listeners: async (sandboxId, signal) => {
        await this.#enter('listeners', sandboxId, signal);
        return [];
      },
      listenersMs: 100,
    };
  }

  /**
   * Calls of this operation wait until `release`; `entered` resolves at the first. An aborted call stops
   * waiting.
   */
  hold(operation: Operation): { entered: Promise<void>; release: () => void } {
    let release = (): void => {};
    const opened = new Promise<void>((resolve) => {
      release = resolve;
    });
    const entered = new Promise<void>((resolve) => {
      this.#held.set(operation, { entered: resolve, opened });
    });
    return { entered, release };
  }

  /** Every call of this operation on this sandbox fails, until `error` is null. */
  fail(operation: Operation, id: string, error: Error | null): void {
    if (error === null) this.#failures.delete(`${operation} ${id}`);
    else this.#failures.set(`${operation} ${id}`, error);
  }

  /** Uploads the workspace of each new sandbox. */
  upload: (() => Promise<void>) | null = null;

  /** Ends a sandbox without a request from the caller. */
  endFromOutside(sandboxId: string, cause: StopCause): void {
    this.#end(this.#fresh(sandboxId), cause);
  }

  /** Leaves a sandbox in this state for as long as a change takes. */
  async takeTime(sandboxId: string, status: SandboxStatus): Promise<void> {
    if (this.changeMs === 0) return;
    this.#fresh(sandboxId).status = status;
    await delay(this.changeMs);
  }

  async create(
    request: CreateSandbox,
    signal: AbortSignal,
    _report?: (line: string) => void,
    onUploading?: (sandbox: Sandbox) => void,
  ): Promise<Sandbox> {
    await this.#enter('create', request.sandboxId, signal);
    const { sandboxId, timeoutMs, vcpus, networkPolicy } = request;
    const sandbox: Sandbox = {
      sandboxId,
      status: 'running',
      engine: this.name,
      runtime: request.runtime ?? 'host',
      cwd: '/vercel/sandbox',
      vcpus,
      memoryMb: vcpus * this.engineLimits.memoryMbPerVcpu,
      createdAt: this.#now(),
      timeoutMs,
      expiresAt: this.#now() + timeoutMs,
      ports: request.ports.map((port) => ({ port, url: null })),
      networkPolicy,
      interactivePort: null,
      sourceSnapshotId: request.source?.type === 'snapshot' ? request.source.snapshotId : null,
      sourcePath: null,
      stopCause: null,
      statusReason: null,
    };
    this.#sandboxes.set(sandboxId, sandbox);
    await this.takeTime(sandboxId, 'pending');
    if (sandbox.status === 'pending') sandbox.status = 'running';
    if (this.upload !== null) {
      onUploading?.(structuredClone(sandbox));
      await this.upload();
    }
    return structuredClone(sandbox);
  }

  async get(sandboxId: string, signal: AbortSignal): Promise<Sandbox> {
    await this.#enter('get', sandboxId, signal);
    return structuredClone(this.#fresh(sandboxId));
  }

  async list(): Promise<Page<Sandbox>> {
    const items = [...this.#sandboxes.keys()].map((id) => structuredClone(this.#fresh(id)));
    return { items: items.sort((a, b) => b.createdAt - a.createdAt), nextCursor: null };
  }

  async extendTimeout(sandboxId: string, durationMs: number, signal: AbortSignal): Promise<Sandbox> {
    await this.#enter('extendTimeout', sandboxId, signal);
    const sandbox = this.#fresh(sandboxId);
    if (sandbox.expiresAt === null) throw new SandboxError('conflict', `${sandboxId} has ended.`);
    sandbox.timeoutMs += durationMs;
    sandbox.expiresAt += durationMs;
    return structuredClone(sandbox);
  }

  async stop(sandboxId: string, cause: 'requested' | 'session_end', signal: AbortSignal): Promise<Sandbox> {
    await this.#enter('stop', sandboxId, signal);
    const sandbox = this.#fresh(sandboxId);
    if (!ENDED.includes(sandbox.status)) {
      await this.takeTime(sandboxId, 'stopping');
      this.#end(sandbox, cause);
    }
    return structuredClone(sandbox);
  }

  async forget(sandboxId: string, signal: AbortSignal): Promise<void> {
    await this.#enter('forget', sandboxId, signal);
    this.commands.endAll(sandboxId, 'sandbox_stopped');
    this.#sandboxes.delete(sandboxId);
  }

  async recover(signal: AbortSignal): Promise<string[]> {
    await this.#enter('recover', '', signal);
    return [];
  }

  async limits(): Promise<EngineLimits> {
    return this.engineLimits;
  }

  async runtimes(): Promise<Runtimes> {
    return { installed: ['host'], others: null };
  }

  async close(): Promise<void> {
    await this.#enter('close', '', new AbortController().signal);
  }

  /** The current state of the sandbox: its deadline takes effect without a timer. */
  #fresh(sandboxId: string): Sandbox {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox === undefined) throw unknownSandbox(sandboxId);
    if (sandbox.expiresAt !== null && sandbox.expiresAt <= this.#now()) this.#end(sandbox, 'deadline');
    return sandbox;
  }

  #end(sandbox: Sandbox, cause: StopCause): void {
    sandbox.status = cause === 'aborted' || cause === 'out_of_memory' ? 'aborted' : 'stopped';
    sandbox.stopCause = cause;
    sandbox.expiresAt = null;
    for (const port of sandbox.ports) port.url = null;
    const endedBy: KillCause | 'sandbox_stopped' =
      cause === 'session_end' ? 'session_end' : 'sandbox_stopped';
    this.commands.endAll(sandbox.sandboxId, endedBy);
  }

  async #enter(operation: Operation, id: string, signal: AbortSignal): Promise<void> {
    throwIfCancelled(signal);
    this.calls.push(`${operation} ${id}`.trim());
    const held = this.#held.get(operation);
    if (held !== undefined) {
      held.entered();
      await Promise.race([held.opened, aborted(signal)]);
      throwIfCancelled(signal);
    }
    const failure = this.#failures.get(`${operation} ${id}`);
    if (failure !== undefined) throw failure;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
