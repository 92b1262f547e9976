import type { NpmSetting } from '../../config/config.ts';
import type { Logger } from '../../shared/log.ts';
import type { SecretStore } from '../../shared/secrets.ts';
import type { OciRuntime } from './container/oci-runtime.ts';
import type { Host } from './host/host.ts';
import type { ImagePolicy } from './images/image-policy.ts';
import type { EgressGatewayPool } from './network/egress-gateway-pool.ts';
import type { PortForwards } from './ports/port-forwards.ts';
import type { ExpiryWatch } from './sandbox/expiry-watch.ts';
import type { OwnerConnections } from './sandbox/owner-connections.ts';
import type { SourceLimits } from './source/source-limits.ts';
import type { SandboxStock } from './stock/sandbox-stock.ts';
import type { DiskWatch } from './storage/disk-watch.ts';

/** The operator's limits on volumes. */
export interface VolumeLimits {
  /** Of each, in MiB; null: no limit. */
  mb: number | null;
  /** Of each owner. */
  count: number;
}

/** What the rooms of this engine share. */
export interface OciContext {
  readonly log: Logger;
  /** Where Node releases are downloaded from. */
  readonly npm: NpmSetting;
  readonly imagePolicy: ImagePolicy;
  readonly secrets: SecretStore;
  /** `TZ` of every program; null: not set, and `/etc/localtime` has the host's. */
  readonly timeZone: string | null;
  /**
   * Whether the state directory was ever prepared. If not, it holds no sandbox and no snapshot, and looking for
   * them need not prepare it, which takes a while.
   */
  hasState(): Promise<boolean>;
  /** Prepared at the first call. Rejects with `unavailable` if this machine cannot run sandboxes. */
  host(): Promise<Host>;
  /** Probed at the first call. */
  runtime(signal: AbortSignal): Promise<OciRuntime>;
  readonly forwards: PortForwards;
  readonly gateways: EgressGatewayPool;
  readonly owners: OwnerConnections;
  readonly expiry: ExpiryWatch;
  readonly disk: DiskWatch;
  readonly stock: SandboxStock;
  /** Disk limit of each sandbox, in MiB; null: no limit. */
  readonly diskMb: number | null;
  readonly volumeLimits: VolumeLimits;
  readonly sourceLimits: SourceLimits;
}
