import type { RegistrySource } from '../../images/npm-registry.ts';
import type { Logger } from '../../shared/log.ts';
import type { SecretStore } from '../../shared/secrets.ts';
import type { DiskWatch } from './disk-watch.ts';
import type { EgressGateways } from './egress-gateways.ts';
import type { ExpiryWatch } from './expiry.ts';
import type { Host } from './host.ts';
import type { OciRuntime } from './oci-runtime.ts';
import type { PortForwards } from './ports.ts';
import type { SourceLimits } from './source/limits.ts';

/** What the parts of this engine share. */
export interface OciContext {
  readonly log: Logger;
  /** Where Node releases come from. */
  readonly npm: RegistrySource;
  readonly secrets: SecretStore;
  /** Prepared at the first call. Rejects with `unavailable` where local sandboxes cannot be. */
  host(): Promise<Host>;
  /** Probed at the first call. */
  runtime(signal: AbortSignal): Promise<OciRuntime>;
  readonly forwards: PortForwards;
  readonly gateways: EgressGateways;
  readonly expiry: ExpiryWatch;
  readonly disk: DiskWatch;
  /** What each sandbox may take on disk, in MiB; null for no limit. */
  readonly diskMb: number | null;
  readonly sourceLimits: SourceLimits;
}
