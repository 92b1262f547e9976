import type { CreateSandbox, Engine, Sandbox } from '../../src/engines/engine.ts';

/** An engine under test, and what its cases share. */
export interface Subject {
  engine: Engine;
  /** A second engine over the same state, as another process of the same user would have it. */
  other: Engine;
  /** One running sandbox for cases that leave it as they found it; port 8080 is exposed. */
  shared: Sandbox;
  /** Makes a sandbox of its own for a case that ends or changes it. */
  create(request?: Partial<CreateSandbox>): Promise<Sandbox>;
}
