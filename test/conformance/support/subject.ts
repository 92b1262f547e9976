import type { CreateSandbox, Engine, Sandbox } from '../../../src/engines/engine.ts';

/** An engine under test, and what the cases share. */
export interface Subject {
  engine: Engine;
  /** A second engine on the same state, like that of another process of the same user. */
  other: Engine;
  /** A running sandbox for cases that leave it unchanged; port 8080 is exposed. */
  shared: Sandbox;
  /**
   * Whether its sandboxes cannot reach servers of this machine, and their ports are behind a proxy for HTTP.
   */
  remote?: boolean;
  /** Creates a sandbox for a case that stops or changes it. */
  create(request?: Partial<CreateSandbox>): Promise<Sandbox>;
}

/**
 * How much of the contract is run: all of it, or a sample for another id map or another runtime; `sample.ts`
 * names the cases of these, which repeat less as well.
 */
export type Extent = 'whole' | 'ids' | 'runtime';

export interface EngineUnderTest {
  engine: Engine;
  other: Engine;
  remote?: boolean;
  close(): Promise<void>;
}
