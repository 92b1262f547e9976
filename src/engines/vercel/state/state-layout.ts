/** This machine's state about sandboxes in the cloud: what the cloud does not store, or not in this form. */
import { join } from 'node:path';
import { unknownCommand, unknownSandbox, unknownSnapshot } from '../../../shared/id-errors.ts';
import { isSandboxId, isSnapshotId, sandboxIdOfCommand } from '../../../shared/ids.ts';
import type { Store } from '../../../shared/store/store.ts';
import { type Documents, FILES, type Place, sharedDocuments } from './documents.ts';

/** Collections of a store. */
export const SANDBOXES = 'cloud-sandboxes';
export const SNAPSHOTS = 'cloud-snapshots';

export interface SandboxPaths {
  readonly dir: string;
  readonly record: Place;
  readonly commands: string;
  /** Where a store keeps the records of its commands. */
  readonly commandRecords: string;
}

export interface CommandPaths {
  readonly sandboxId: string;
  /** Holds the captured output; in files the record, too. */
  readonly dir: string;
  readonly record: Place;
  readonly documents: Documents;
  /** Where a store keeps captured output. */
  readonly output: string;
}

/**
 * The paths below `<state directory>/vercel`, and the places in a store that replicas share. An id that is not
 * well-formed never becomes either.
 */
export class VercelLayout {
  readonly root: string;
  readonly sandboxes: string;
  readonly snapshots: string;
  readonly uploads: string;
  /** Null if the records are files of this machine. */
  readonly store: Store | null;
  readonly documents: Documents;

  constructor(stateDir: string, store: Store | null = null) {
    this.store = store;
    this.documents = store === null ? FILES : sharedDocuments(store);
    this.root = join(stateDir, 'vercel');
    this.sandboxes = join(this.root, 'sandboxes');
    this.snapshots = join(this.root, 'snapshots');
    this.uploads = join(this.root, 'uploads');
  }

  /** @throws `not_found` */
  sandbox(sandboxId: string): SandboxPaths {
    if (!isSandboxId(sandboxId)) throw unknownSandbox(sandboxId);
    const dir = join(this.sandboxes, sandboxId);
    return {
      dir,
      record: placeIn(dir, SANDBOXES, sandboxId),
      commands: join(dir, 'commands'),
      commandRecords: `cloud-commands:${sandboxId}`,
    };
  }

  /** @throws `not_found` */
  command(commandId: string): CommandPaths {
    const sandboxId = sandboxIdOfCommand(commandId);
    if (sandboxId === null) throw unknownCommand(commandId);
    const { commands, commandRecords } = this.sandbox(sandboxId);
    const dir = join(commands, commandId);
    const record = placeIn(dir, commandRecords, commandId);
    return { sandboxId, dir, record, documents: this.documents, output: `cloud-output:${commandId}` };
  }

  /** @throws `not_found` */
  snapshot(snapshotId: string): string {
    if (!isSnapshotId(snapshotId)) throw unknownSnapshot(snapshotId);
    return join(this.snapshots, `${snapshotId}.json`);
  }
}

function placeIn(directory: string, collection: string, id: string): Place {
  return { directory, file: join(directory, 'record.json'), lock: join(directory, 'lock'), collection, id };
}
