import { randomBytes } from 'node:crypto';
import type { ExposedPort, Registry } from '../../../registry/types.ts';

export interface PreviewsOptions {
  registry: Pick<Registry, 'forwardedUrl'>;
  /** Previews are at subdomains of this name. */
  host: string;
  /** The server's own URL, whose scheme and port the previews share. */
  url: string;
}

/** The first label of a preview's host name. */
const NAME = /^[0-9a-f]{32}$/;

/** Host names for exposed ports. They are random, and forgotten when the sandbox ends. */
export class Previews {
  readonly #registry: PreviewsOptions['registry'];
  readonly #suffix: string;
  readonly #scheme: string;
  readonly #port: string;
  readonly #byName = new Map<string, ExposedPort>();
  readonly #names = new Map<string, string>();

  constructor({ registry, host, url }: PreviewsOptions) {
    const { protocol, port } = new URL(url);
    this.#registry = registry;
    this.#suffix = `.${host}`;
    this.#scheme = protocol;
    this.#port = port === '' ? '' : `:${port}`;
  }

  /** The URL of a port, the same each time. */
  urlOf(exposed: ExposedPort): string {
    const key = keyOf(exposed);
    const name = this.#names.get(key) ?? this.#add(key, exposed);
    return `${this.#scheme}//${name}${this.#suffix}${this.#port}`;
  }

  /** The first label of a preview's host name; null if the header has none, as with the server's own name. */
  nameIn(hostHeader: string | undefined): string | null {
    const host = (hostHeader ?? '').toLowerCase().replace(/:\d{1,5}$/, '');
    const name = host.endsWith(this.#suffix) ? host.slice(0, -this.#suffix.length) : '';
    return NAME.test(name) ? name : null;
  }

  /** Where a preview leads now. Null if there is none of this name, or its sandbox has ended. */
  find(name: string): { target: string; principal: string } | null {
    const exposed = this.#byName.get(name);
    if (exposed === undefined) return null;
    const target = this.#registry.forwardedUrl(exposed.sandboxId, exposed.port);
    if (target !== null) return { target, principal: exposed.principal };
    this.#remove(name, exposed);
    return null;
  }

  #add(key: string, exposed: ExposedPort): string {
    // Nobody may have visited those that ended.
    for (const name of [...this.#byName.keys()]) this.find(name);
    const name = randomBytes(16).toString('hex');
    this.#byName.set(name, exposed);
    this.#names.set(key, name);
    return name;
  }

  #remove(name: string, exposed: ExposedPort): void {
    this.#byName.delete(name);
    this.#names.delete(keyOf(exposed));
  }
}

function keyOf({ sandboxId, port }: ExposedPort): string {
  return `${sandboxId}:${port}`;
}
