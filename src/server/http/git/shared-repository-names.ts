import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { SandboxOwner } from '../../../registry/types.ts';
import { change, type Store } from '../../../shared/store/store.ts';
import type { Names } from './repository-names.ts';

const NAMES = 'repository-names';
const SANDBOXES = 'repository-sandboxes';

const Owner = z.strictObject({ principal: z.string(), sandboxId: z.string() });

/** Names of repositories that every replica knows. */
export class SharedRepositoryNames implements Names {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async nameOf(sandbox: SandboxOwner): Promise<string> {
    const fresh = randomBytes(16).toString('hex');
    const name = (await change(this.#store, NAMES, sandbox.sandboxId, (known) => known ?? fresh)) ?? fresh;
    const { principal, sandboxId } = sandbox;
    if (name === fresh)
      await this.#store.swap(SANDBOXES, name, null, JSON.stringify({ principal, sandboxId }));
    return name;
  }

  async find(name: string): Promise<SandboxOwner | null> {
    const text = await this.#store.read(SANDBOXES, name);
    return text === null ? null : (Owner.safeParse(JSON.parse(text)).data ?? null);
  }
}
