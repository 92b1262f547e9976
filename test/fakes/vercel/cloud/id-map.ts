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

  /** The id by which the service knows what the engine below calls this; made when it is first asked for. */
  above(below: string): string {
    const known = this.#above.get(below);
    if (known !== undefined) return known;
    const made = `${this.#prefix}_${randomBytes(18).toString('base64url').replace(/[-_]/g, 'x')}`;
    this.#above.set(below, made);
    this.#below.set(made, below);
    return made;
  }

  /** What the engine below calls it; a text that is no id of it where the service never made such an id. */
  below(above: string): string {
    return this.#below.get(above) ?? '';
  }
}
