/** This machine's state about sandboxes in the cloud: what the cloud does not store, or not in this form. */
import { join } from 'node:path';
import { unknownCommand, unknownSandbox, unknownSnapshot } from '../../../shared/id-errors.ts';
import { isSandboxId, isSnapshotId, sandboxIdOfCommand } from '../../../shared/ids.ts';

export interface SandboxPaths {
  readonly dir: string;
  readonly record: string;
  readonly lock: string;
  readonly commands: string;
}

export interface CommandPaths {
  readonly sandboxId: string;
  readonly dir: string;
  readonly record: string;
  readonly lock: string;
}

/** The paths below `<state directory>/vercel`. An id that is not well-formed never becomes a path. */
export class VercelLayout {
  readonly root: string;
  readonly sandboxes: string;
  readonly snapshots: string;
  readonly uploads: string;

  constructor(stateDir: string) {
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
      record: join(dir, 'record.json'),
      lock: join(dir, 'lock'),
      commands: join(dir, 'commands'),
    };
  }

  /** @throws `not_found` */
  command(commandId: string): CommandPaths {
    const sandboxId = sandboxIdOfCommand(commandId);
    if (sandboxId === null) throw unknownCommand(commandId);
    const dir = join(this.sandbox(sandboxId).commands, commandId);
    return { sandboxId, dir, record: join(dir, 'record.json'), lock: join(dir, 'lock') };
  }

  /** @throws `not_found` */
  snapshot(snapshotId: string): string {
    if (!isSnapshotId(snapshotId)) throw unknownSnapshot(snapshotId);
    return join(this.snapshots, `${snapshotId}.json`);
  }
}
