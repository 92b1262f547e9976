import type { Config } from '../config/config.ts';
import type { Engine } from '../engines/engine.ts';
import type { KeyedLock } from '../shared/async/keyed-lock.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import type { ExposedPort, SandboxOwner } from './port-types.ts';
import type { StagedDownloads } from './records/download-staging.ts';
import type { Owners } from './records/owner.ts';
import type { Records } from './records/records.ts';
import type { OwnershipRecord } from './records/sandbox-record.ts';
import type { SnapshotOwnership } from './records/snapshot-record.ts';

/** The operator's settings that the registry needs. */
export type RegistryConfig = Pick<
  Config,
  | 'maxLifetimeMs'
  | 'retentionMs'
  | 'onDisconnect'
  | 'maxSandboxes'
  | 'maxRunningCommands'
  | 'maxShells'
  | 'maxVcpus'
  | 'maxSnapshots'
>;

/** The dependencies shared by all parts of the registry. */
export interface RegistryContext {
  readonly engine: Engine;
  readonly config: RegistryConfig;
  readonly log: Logger;
  readonly clock: Clock;
  readonly store: Records<OwnershipRecord>;
  readonly snapshots: Records<SnapshotOwnership>;
  readonly owners: Owners;
  readonly stagedDownloads: StagedDownloads;
  /** Serialises work that must not run concurrently: admissions and deadline changes. */
  readonly lock: Pick<KeyedLock, 'run'>;
  /** Under which URLs forwarded ports and git repositories are shown. */
  readonly published: {
    urlOf: ((port: ExposedPort) => string) | null;
    repositoryUrl: ((sandbox: SandboxOwner) => string | Promise<string>) | null;
  };
  /** Starts a recovery that outlives this process, for what could not be removed in time. */
  finishLater(): void;
}
