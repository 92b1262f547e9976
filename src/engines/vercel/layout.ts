/** What this machine keeps of sandboxes in the cloud: what the cloud does not keep, or not in this form. */
import { join } from 'node:path';
import { SandboxError } from '../../shared/errors.ts';
import { isSandboxId, isSnapshotId, sandboxIdOfCommand } from '../../shared/ids.ts';

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

/** The `not_found` of a sandbox id. */
export function unknownSandbox(sandboxId: string): SandboxError {
  const shown = sandboxId.slice(0, 64);
  return new SandboxError('not_found', `There is no sandbox "${shown}".`, { details: { sandbox_id: shown } });
}

/** The `not_found` of a command id. */
export function unknownCommand(commandId: string): SandboxError {
  const shown = commandId.slice(0, 64);
  return new SandboxError('not_found', `There is no command "${shown}".`, { details: { command_id: shown } });
}

/** The `not_found` of a snapshot id. */
export function unknownSnapshot(snapshotId: string): SandboxError {
  const shown = snapshotId.slice(0, 80);
  return new SandboxError('not_found', `There is no snapshot "${shown}".`, {
    hint: 'Call snapshot_list to see the snapshots there are.',
    details: { snapshot_id: shown },
  });
}
