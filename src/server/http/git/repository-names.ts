import { randomBytes } from 'node:crypto';
import type { SandboxOwner } from '../../../registry/types.ts';

/** Under which random names the repositories of sandboxes are served. */
export interface Names {
  /** The name of a sandbox, the same each time. */
  nameOf(sandbox: SandboxOwner): string | Promise<string>;
  find(name: string): SandboxOwner | null | Promise<SandboxOwner | null>;
}

/** Names of sandboxes in URLs; further ones replace the one that was used least recently. */
const MAX_NAMES = 10_000;

/**
 * Random names under which the repositories of sandboxes are served. Anyone who knows one may fetch. A sandbox
 * keeps its name when it ends: a named one can be started again, and the user may have stored the URL.
 */
export class RepositoryNames implements Names {
  readonly #byName = new Map<string, SandboxOwner>();
  readonly #names = new Map<string, string>();

  /** The name of a sandbox, the same each time. */
  nameOf(sandbox: SandboxOwner): string {
    const known = this.#names.get(sandbox.sandboxId);
    if (known !== undefined) return this.#used(known, sandbox);
    const [oldest] = this.#byName.keys();
    if (oldest !== undefined && this.#byName.size >= MAX_NAMES) this.#forget(oldest);
    const name = randomBytes(16).toString('hex');
    this.#names.set(sandbox.sandboxId, name);
    return this.#used(name, sandbox);
  }

  find(name: string): SandboxOwner | null {
    const sandbox = this.#byName.get(name);
    if (sandbox === undefined) return null;
    this.#used(name, sandbox);
    return sandbox;
  }

  /** Makes it the last one to be replaced. */
  #used(name: string, sandbox: SandboxOwner): string {
    this.#byName.delete(name);
    this.#byName.set(name, sandbox);
    return name;
  }

  #forget(name: string): void {
    const sandbox = this.#byName.get(name);
    this.#byName.delete(name);
    if (sandbox !== undefined) this.#names.delete(sandbox.sandboxId);
  }
}
