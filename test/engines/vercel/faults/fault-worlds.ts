/** Worlds that are used one call at a time, as many as calls are tried at once. */
import { FaultWorld } from './fault-world.ts';

/** What a world has to say when it ends; all of it has to be empty. */
export interface WorldsEnd {
  /** What goes on in the cloud. */
  alive: string[];
  /** What the stand-in was asked that the service does not take. */
  violations: readonly unknown[];
  /** Sessions that were started because a stopped sandbox was resumed. */
  resumed: string[];
}

export class FaultWorlds {
  readonly #sandboxes: 'containers' | 'memory';
  readonly #opened: FaultWorld[] = [];
  readonly #idle: FaultWorld[] = [];

  constructor(sandboxes: 'containers' | 'memory') {
    this.#sandboxes = sandboxes;
  }

  /** Gives `work` a world that nobody else uses meanwhile. One in which something went wrong serves on, so that it shows. */
  async use(work: (world: FaultWorld) => Promise<void>): Promise<void> {
    const world = this.#idle.pop() ?? (await this.#open());
    try {
      await work(world);
    } finally {
      this.#idle.push(world);
    }
  }

  async close(): Promise<WorldsEnd[]> {
    return Promise.all(
      this.#opened.map(async (world) => {
        const alive = await world.close();
        return { alive, violations: world.api.violations, resumed: world.api.deeds.resumed };
      }),
    );
  }

  async #open(): Promise<FaultWorld> {
    const world = await FaultWorld.open(this.#sandboxes);
    this.#opened.push(world);
    return world;
  }
}
