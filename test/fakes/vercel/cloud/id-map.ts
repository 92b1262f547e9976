/**
 * The service's own ids: in a different format than those of the engine below, as a client would see them.
 */
import { randomBytes } from 'node:crypto';

export class IdMap {
  readonly #prefix: string;
  readonly #above = new Map<string, string>();
  readonly #below = new Map<string, string>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The service's id for an id of the engine below; created on first use. */
  above(below: string): string {
    const known = this.#above.get(below);
    if (known !== undefined) return known;
    const made = `${this.#prefix}_${randomBytes(18).toString('base64url').replace(/[-_]/g, 'x')}`;
    this.#above.set(below, made);
    this.#below.set(made, below);
    return made;
  }

  /** The id in the engine below; for an id that the service never created, a text that is not an id there. */
  below(above: string): string {
    return this.#below.get(above) ?? '';
  }
}
