import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { SandboxOwner } from '../../../registry/types.ts';
import { SANDBOX_RECORDS } from '../../../shared/store/collections.ts';
import { change, type Store } from '../../../shared/store/store.ts';
import type { Names } from './repository-names.ts';

const NAMES = 'repository-names';
const SANDBOXES = 'repository-sandboxes';
/** How often the names of forgotten sandboxes are removed, at most. */
const REMOVAL_MS = 600_000;

const Owner = z.strictObject({ principal: z.string(), sandboxId: z.string() });

/** Names of repositories that every replica knows. */
export class SharedRepositoryNames implements Names {
  readonly #store: Store;
  #removed = Number.NEGATIVE_INFINITY;

  constructor(store: Store) {
    this.#store = store;
  }

  async nameOf(sandbox: SandboxOwner): Promise<string> {
    const fresh = randomBytes(16).toString('hex');
    const name = (await change(this.#store, NAMES, sandbox.sandboxId, (known) => known ?? fresh)) ?? fresh;
    const { principal, sandboxId } = sandbox;
    if (name === fresh) {
      await this.#store.swap(SANDBOXES, name, null, JSON.stringify({ principal, sandboxId }));
      await this.#removeForgotten();
    }
    return name;
  }

  async find(name: string): Promise<SandboxOwner | null> {
    const text = await this.#store.read(SANDBOXES, name);
    return text === null ? null : (Owner.safeParse(JSON.parse(text)).data ?? null);
  }

  async #removeForgotten(): Promise<void> {
    if (performance.now() < this.#removed + REMOVAL_MS) return;
    this.#removed = performance.now();
    // In this order: a sandbox has its record before it has a name.
    const names = await this.#store.all(NAMES);
    const known = new Set(await this.#store.ids(SANDBOX_RECORDS));
    for (const [sandboxId, name] of names) {
      if (known.has(sandboxId)) continue;
      await change(this.#store, SANDBOXES, name, () => null);
      await change(this.#store, NAMES, sandboxId, () => null);
    }
  }
}
