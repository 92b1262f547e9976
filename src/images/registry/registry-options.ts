/** How registries are reached, from the operator's configuration. */
import { DEFAULT_REGISTRY, DEFAULT_REGISTRY_API } from './default-registry.ts';

export interface RegistryOptions {
  /** Files with credentials, highest precedence first; missing ones are ignored. */
  readonly credentialFiles: readonly string[];
  /** Base addresses to try before a registry's own, by registry. */
  readonly mirrors: ReadonlyMap<string, readonly string[]>;
  /** Registries that are reached over plain HTTP. Those on the loopback interface always are. */
  readonly insecure: readonly string[];
  /** How long a registry may be silent, in milliseconds. */
  readonly idleMs: number;
  /** Before the first retry, in milliseconds; each further one waits four times as long. */
  readonly retryPauseMs: number;
  /** How long a pull may take, in milliseconds. */
  readonly pullMs: number;
  /** Null if an address may be reached for an agent; else what it is, e.g. `loopback`. */
  readonly closedBecause: (address: string) => string | null;
}

/** Far larger than usual images, but small enough not to fill a disk unexpectedly. */
export const DEFAULT_MAX_IMAGE_BYTES = 16 * 1_024 ** 3;
export const DEFAULT_IDLE_MS = 30_000;
export const DEFAULT_RETRY_PAUSE_MS = 250;
export const DEFAULT_PULL_MS = 60 * 60_000;

export const NO_REGISTRY_OPTIONS: RegistryOptions = {
  credentialFiles: [],
  mirrors: new Map(),
  insecure: [],
  idleMs: DEFAULT_IDLE_MS,
  retryPauseMs: DEFAULT_RETRY_PAUSE_MS,
  pullMs: DEFAULT_PULL_MS,
  closedBecause: () => null,
};

/** True for a host on the loopback interface. */
function isLoopback(registry: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(registry);
}

/** Where the API of a registry is, mirrors first. */
export function endpointsOf(registry: string, options: RegistryOptions): URL[] {
  const scheme = isLoopback(registry) || options.insecure.includes(registry) ? 'http' : 'https';
  const own = registry === DEFAULT_REGISTRY ? DEFAULT_REGISTRY_API : `${scheme}://${registry}/`;
  const mirrors = (options.mirrors.get(registry) ?? []).map((base) =>
    base.endsWith('/') ? base : `${base}/`,
  );
  return [...mirrors, own].map((base) => new URL(base));
}
