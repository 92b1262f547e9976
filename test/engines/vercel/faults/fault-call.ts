/**
 * An engine call in the fault suite: its preconditions, the correct results, and what must not have happened.
 */
import type { Engine } from '../../../../src/engines/engine.ts';
import type { Operation } from '../../../fakes/vercel/wire/operations.ts';
import type { FaultWorld } from './fault-world.ts';

/** One call with a fault. */
export interface Attempt {
  world: FaultWorld;
  sandboxId: string;
  /** Created by `prepare`: a command, a snapshot, a path. */
  made: string;
  /** Unique text of this attempt. */
  marker: string;
}

export interface FaultCall {
  name: string;
  /** The API requests it sends, in any order; a test compares this with the real ones. */
  operations: readonly Operation[];
  /** Requests sent in the background, at any time. */
  behind?: readonly Operation[];
  /**
   * True if temporary faults are hidden from the caller, since all its requests may be repeated; commands may
   * not.
   */
  repeatable: boolean;
  /** The sandbox it uses: shared by many calls, or a separate one, which may be left in any state. */
  sandbox: 'shared' | 'own' | 'none';
  /** True if nothing has to run in its sandbox: the stand-in then keeps the sandbox in memory. */
  inMemory?: true;
  /** Creates what the call needs, without faults. */
  prepare?(attempt: Attempt): Promise<string>;
  run(engine: Engine, attempt: Attempt): Promise<unknown>;
  /** Whether a result is correct; an incorrect result is worse than an error. */
  right(value: unknown, attempt: Attempt): void;
  /**
   * Checked after the fault: nothing done twice, partly or forgotten. `failure` is null if the call
   * succeeded.
   */
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
