import type { CreateSandbox, Engine, Sandbox } from '../../../src/engines/engine.ts';

/** An engine under test, and what its cases share. */
export interface Subject {
  engine: Engine;
  /** A second engine over the same state, as another process of the same user would have it. */
  other: Engine;
  /** A running sandbox for cases that leave it as they found it; port 8080 is exposed. */
  shared: Sandbox;
  /** Creates a sandbox for a case that ends or changes it. */
  create(request?: Partial<CreateSandbox>): Promise<Sandbox>;
}

/**
 * How much of the contract is run. A sample has every case that depends on who the sandboxes run as or on the runtime, with
 * fewer repetitions; the rest, such as how output is kept, is the same code whoever runs it.
 */
export type Extent = 'whole' | 'sample';

export interface EngineUnderTest {
  engine: Engine;
  other: Engine;
  close(): Promise<void>;
}
