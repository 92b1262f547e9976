import type { Config } from '../config.ts';
import type { Engine } from '../engines/engine.ts';
import type { Clock } from '../shared/clock.ts';
import type { KeyedLock } from '../shared/keyed-lock.ts';
import type { Logger } from '../shared/log.ts';
import type { OwnershipRecord } from './record.ts';
import type { SnapshotOwnership } from './snapshot-record.ts';
import type { Stages } from './stages.ts';
import type { RecordStore } from './store.ts';

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
  readonly stages: Stages;
  /** Serialises what must not run twice at once in this process: admissions, changes of a deadline. */
  readonly lock: KeyedLock;
}
