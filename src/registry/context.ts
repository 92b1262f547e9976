import type { Config } from '../config/config.ts';
import type { Engine } from '../engines/engine.ts';
import type { KeyedLock } from '../shared/async/keyed-lock.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import type { StagedDownloads } from './records/download-staging.ts';
import type { RecordStore } from './records/record-store.ts';
import type { OwnershipRecord } from './records/sandbox-record.ts';
import type { SnapshotOwnership } from './records/snapshot-record.ts';

/** What the registry has to know of the operator's wishes. */
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

/** What every part of the registry works with. */
export interface RegistryContext {
  readonly engine: Engine;
  readonly config: RegistryConfig;
  readonly log: Logger;
  readonly clock: Clock;
  readonly store: RecordStore<OwnershipRecord>;
  readonly snapshots: RecordStore<SnapshotOwnership>;
  readonly stagedDownloads: StagedDownloads;
  /** Serialises what must not run twice at once in this process: admissions, changes of a deadline. */
  readonly lock: KeyedLock;
}
