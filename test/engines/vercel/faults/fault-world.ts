/** The environment of a faulty call of the vercel engine: a stand-in, two engines on one state, a sandbox. */
import type { CreateSandbox, Engine, Sandbox } from '../../../../src/engines/engine.ts';
import { newCommandId } from '../../../../src/shared/ids.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { startVercelApi, type VercelApi } from '../../../fakes/vercel/index.ts';
import type { Fault } from '../../../fakes/vercel/wire/faults.ts';
import { type OpenedVercel, openVercelEngine } from '../support/vercel-engines.ts';
import { hangs } from './faults.ts';

/** So short that an API that hangs costs almost no time; for faults that hang. */
const HASTE = { headersMs: 150, longHeadersMs: 150, bodyMs: 150, silentMs: 150, attempts: 1 };
const QUICK = { retryBaseMs: 1, pollMs: 10, effectMs: 50 };
/** Longer than a hasty client waits, so that its request takes effect once nobody waits for it any more. */
const SLOW_CHANGE_MS = 200;
const CHANGE_MS = 5;
/** Longer than any run. */
const LONGEST_MS = 3_600_000;

export class FaultWorld {
  readonly api: VercelApi;
  /** Creates what calls need, and checks their effects. */
  readonly patient: Engine;
  readonly #opened: OpenedVercel;
  #shared: Sandbox | null = null;
  #sharedSnapshot: string | null = null;

  private constructor(api: VercelApi, opened: OpenedVercel) {
    this.api = api;
    this.#opened = opened;
    this.patient = opened.engine;
  }

  static async open(sandboxes: 'containers' | 'memory'): Promise<FaultWorld> {
    const api = await startVercelApi(sandboxes);
    return new FaultWorld(api, await openVercelEngine(api, QUICK));
  }

  /** Applies a fault until `calm`. Meanwhile sandboxes in memory take time to change. */
  disturb(fault: Fault): void {
    this.api.changeMs = hangs(fault.kind) ? SLOW_CHANGE_MS : CHANGE_MS;
    this.api.faults.add(fault);
  }

  calm(): void {
    this.api.changeMs = 0;
    this.api.faults.clear();
  }

  /** An engine that knows only what is on disk, so that a call has to query everything. */
  async cold({ hasty }: { hasty: boolean }): Promise<Engine> {
    const { stateDir } = this.#opened;
    return (await openVercelEngine(this.api, { stateDir, ...QUICK, ...(hasty ? HASTE : {}) })).engine;
  }

  /** A running sandbox that no call should stop. */
  async shared(): Promise<string> {
    this.#shared ??= await this.patient.create(createRequest({ timeoutMs: LONGEST_MS }), timeoutSignal());
    return this.#shared.sandboxId;
  }

  /** A separate sandbox for a call that stops or changes it. */
  async fresh(request: Partial<CreateSandbox> = {}): Promise<string> {
    return (await this.patient.create(createRequest(request), timeoutSignal())).sandboxId;
  }

  /** A snapshot that no call should delete. */
  async sharedSnapshot(): Promise<string> {
    this.#sharedSnapshot ??= await this.snapshot();
    return this.#sharedSnapshot;
  }

  /** A separate snapshot for a call that deletes it. */
  async snapshot(): Promise<string> {
    const taken = await this.patient.snapshots?.take(await this.fresh(), null, timeoutSignal());
    if (taken === undefined) throw new Error('the engine keeps no snapshots');
    return taken.snapshotId;
  }

  /** Stops a separate sandbox, which leaves nothing of it. */
  async end(sandboxId: string): Promise<void> {
    await this.patient.forget(sandboxId, timeoutSignal());
    const alive = await this.api.alive();
    if (alive.includes(sandboxId)) throw new Error(`${sandboxId} was forgotten but is still running`);
  }

  /** A fault in one call does not mean that a sandbox has ended. */
  async expectRunning(sandboxId: string): Promise<void> {
    const { status } = await this.patient.get(sandboxId, timeoutSignal());
    if (status !== 'running')
      throw new Error(`${sandboxId} is ${status} after a fault that did not concern it`);
  }

  /**
   * Starts a shell script without following it, so that nothing follows it when the fault occurs; returns its
   * id.
   */
  async start(sandboxId: string, script: string): Promise<string> {
    const engine = await this.cold({ hasty: false });
    const commandId = newCommandId(sandboxId);
    const plain = { cwd: null, env: {}, sudo: false, timeoutMs: null };
    const request = { ...plain, commandId, sandboxId, cmd: 'sh', args: ['-c', script] };
    await engine.commands.start(request, timeoutSignal());
    await engine.close();
    return commandId;
  }

  /** How often a command whose arguments contain this text was really started. */
  started(marker: string): number {
    return this.api.deeds.commands.filter(({ args }) => args.some((arg) => arg.includes(marker))).length;
  }

  async output(commandId: string): Promise<{ text: string; droppedBytes: number }> {
    const request = { stream: 'both' as const, offset: 0, limit: 1_000_000 };
    const slice = await this.patient.commands.readOutput(commandId, request, timeoutSignal());
    const text = Buffer.concat(slice.chunks.map(({ data }) => data)).toString();
    return { text, droppedBytes: slice.droppedBytes };
  }

  /** Returns what was still running in the cloud. */
  async close(): Promise<string[]> {
    this.calm();
    if (this.#shared !== null) await this.patient.forget(this.#shared.sandboxId, timeoutSignal());
    if (this.#sharedSnapshot !== null)
      await this.patient.snapshots?.delete(this.#sharedSnapshot, timeoutSignal());
    await this.patient.close();
    const alive = await this.api.alive();
    await this.api.close();
    await this.#opened.remove();
    return alive;
  }
}
