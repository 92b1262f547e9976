/** A pool of worlds, each used by one call at a time. */
import { FaultWorld } from './fault-world.ts';

/** Problems reported when a world is closed; all lists must be empty. */
export interface WorldsEnd {
  /** What is still running in the cloud. */
  alive: string[];
  /** Requests to the stand-in that the real service would reject. */
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

  /**
   * Runs `work` with exclusive use of a world. After a failure a world stays in use, so that damage shows.
   */
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
