/** A call of the engine, as the fault suite makes it: what it needs, what is right, what must not have happened. */
import type { Engine } from '../../../../src/engines/engine.ts';
import type { Operation } from '../../../fakes/vercel/wire/operations.ts';
import type { FaultWorld } from './fault-world.ts';

/** One call under a fault. */
export interface Attempt {
  world: FaultWorld;
  sandboxId: string;
  /** What `prepare` made: a command, a snapshot, a path. */
  made: string;
  /** Text that no other attempt uses. */
  marker: string;
}

export interface FaultCall {
  name: string;
  /** What it asks of the API, in no order; a test holds this to what it really asks. */
  operations: readonly Operation[];
  /** What is asked behind its back, sooner or later. */
  behind?: readonly Operation[];
  /** True where a fault that passes is nobody's business, since everything it asks may be asked twice; no command may. */
  repeatable: boolean;
  /** The sandbox it works in: one for many calls, or one of its own, which may be left in any state. */
  sandbox: 'shared' | 'own' | 'none';
  /**
   * True if nothing has to run in its sandbox and no change of the sandbox has to take time: the stand-in then keeps
   * the sandbox in memory.
   */
  inMemory?: true;
  /** Makes what the call needs while all is well. */
  prepare?(attempt: Attempt): Promise<string>;
  run(engine: Engine, attempt: Attempt): Promise<unknown>;
  /** Whether an answer is right; an answer that is not is worse than an error. */
  right(value: unknown, attempt: Attempt): void;
  /** With the fault over: nothing twice, nothing half, nothing forgotten. `failure` is null where it was answered. */
  after?(attempt: Attempt, failure: Failure | null): Promise<void>;
}

export interface Failure {
  code: string;
  /** Message, hint and details. */
  text: string;
}

let markers = 0;

export function newMarker(): string {
  markers += 1;
  return `m${markers}x${process.pid}`;
}
