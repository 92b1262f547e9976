import { randomBytes } from 'node:crypto';
import type { SandboxOwner } from '../../../registry/types.ts';

/** Names of sandboxes in URLs; further ones replace the oldest. */
const MAX_NAMES = 10_000;

/** Random names under which the repositories of sandboxes are served. Anyone who knows one may fetch. */
export class RepositoryNames {
  readonly #byName = new Map<string, SandboxOwner>();
  readonly #names = new Map<string, string>();

  /** The name of a sandbox, the same each time. */
  nameOf(sandbox: SandboxOwner): string {
    const known = this.#names.get(sandbox.sandboxId);
    if (known !== undefined) return known;
    const [oldest] = this.#byName.keys();
    if (oldest !== undefined && this.#byName.size >= MAX_NAMES) this.forget(oldest);
    const name = randomBytes(16).toString('hex');
    this.#byName.set(name, sandbox);
    this.#names.set(sandbox.sandboxId, name);
    return name;
  }

  find(name: string): SandboxOwner | null {
    return this.#byName.get(name) ?? null;
  }

  forget(name: string): void {
    const sandbox = this.#byName.get(name);
    this.#byName.delete(name);
    if (sandbox !== undefined) this.#names.delete(sandbox.sandboxId);
  }
}
