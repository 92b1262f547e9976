import { join } from 'node:path';
import { unknownSandbox, unknownSnapshot } from '../../../shared/id-errors.ts';
import { isSandboxId, isSnapshotId } from '../../../shared/ids.ts';

/** Incremented when the on-disk format changes incompatibly; a newer version is refused, never rewritten. */
export const STATE_FORMAT = 1;

/**
 * In a sandbox's directory: touched by each server that takes over its egress gateway, so that the others
 * notice.
 */
export const GATEWAY_MARK = 'gateway';
/**
 * Prefix of the directories in a sandbox's directory that hold a relay's stream sockets, one for each relay
 * process.
 */
export const STREAMS_PREFIX = 'streams-';

/** The host paths of one sandbox. Nothing of a sandbox exists outside `dir` and its cgroup. */
export interface SandboxPaths {
  readonly dir: string;
  readonly record: string;
  /** Held while the record is changed. */
  readonly lock: string;
  /** Command records, written by the engine. */
  readonly commands: string;
  /**
   * The directory that the agent holds as descriptor 3: sockets, logs and exit files, written by the agent.
   */
  readonly agent: string;
  readonly agentSocket: string;
  /** Where further servers become owners; missing while the sandbox has no owners. */
  readonly ownersSocket: string;
  readonly bundle: string;
  /** The CA of its gateway with the private key, readable by this user only. */
  readonly ca: string;
  /** The CA files that the sandbox sees. */
  readonly caTrust: string;
  readonly layers: string;
  /** What the sandbox has written, one directory below it for each of its top-level directories. */
  readonly upper: string;
  readonly work: string;
  /** `upper`, `work` and `mask` (whiteouts of hidden files) of the workspace. */
  readonly workspace: string;
  /** What has been applied to the workspace's folder. */
  readonly applied: string;
  /** The OCI runtime's own state. */
  readonly runtime: string;
  readonly pidFile: string;
  readonly startLog: string;
  /** An empty file that leads to the sandbox's user namespace where the launcher makes one. */
  readonly userns: string;
}

/** The host paths below the state directory. */
export class StateLayout {
  readonly stateDir: string;
  readonly formatFile: string;
  readonly sandboxes: string;
  /** Held while determining which ids are in use. */
  readonly sandboxesLock: string;
  readonly snapshots: string;
  /** Held while determining which snapshots are in use. */
  readonly snapshotsLock: string;
  readonly binaries: string;
  readonly etcTemplates: string;
  readonly images: string;
  readonly volumes: string;
  /** Held while determining which volumes are in use. */
  readonly volumesLock: string;
  readonly trash: string;
  readonly uidRangeFile: string;
  readonly probeCache: string;
  /** Journals of changes being applied to workspaces. */
  readonly journals: string;

  constructor(stateDir: string) {
    this.stateDir = stateDir;
    this.formatFile = join(stateDir, 'format');
    this.sandboxes = join(stateDir, 'sandboxes');
    this.sandboxesLock = join(this.sandboxes, '.lock');
    this.snapshots = join(stateDir, 'snapshots');
    this.snapshotsLock = join(this.snapshots, 'lock');
    this.binaries = join(stateDir, 'bin');
    this.etcTemplates = join(stateDir, 'etc');
    this.images = join(stateDir, 'images');
    this.volumes = join(stateDir, 'volumes');
    this.volumesLock = join(this.volumes, 'lock');
    this.trash = join(stateDir, 'trash');
    this.uidRangeFile = join(stateDir, 'uid-range.json');
    this.probeCache = join(stateDir, 'runtime.json');
    this.journals = join(stateDir, 'journals');
  }

  /** The paths of one sandbox. An id that is not well-formed never becomes a path. */
  sandbox(sandboxId: string): SandboxPaths {
    if (!isSandboxId(sandboxId)) throw unknownSandbox(sandboxId);
    return sandboxPaths(join(this.sandboxes, sandboxId));
  }

  /** The paths of one snapshot. An id that is not well-formed never becomes a path. */
  snapshot(snapshotId: string): SnapshotPaths {
    if (!isSnapshotId(snapshotId)) throw unknownSnapshot(snapshotId);
    return snapshotPaths(join(this.snapshots, snapshotId));
  }
}

/** The host paths of one snapshot. */
export interface SnapshotPaths {
  readonly dir: string;
  readonly record: string;
  /** Held while the record is changed. */
  readonly lock: string;
  /** The former `upper` of its sandbox. Never written to again. */
  readonly layer: string;
}

/** The paths inside one snapshot directory. */
export function snapshotPaths(dir: string): SnapshotPaths {
  return { dir, record: join(dir, 'record.json'), lock: join(dir, 'lock'), layer: join(dir, 'layer') };
}

/** The paths inside one sandbox directory. */
export function sandboxPaths(dir: string): SandboxPaths {
  const bundle = join(dir, 'bundle');
  const agent = join(dir, 'agent');
  const layers = join(dir, 'layers');
  return {
    dir,
    record: join(dir, 'record.json'),
    lock: join(dir, 'lock'),
    commands: join(dir, 'commands'),
    agent,
    agentSocket: join(agent, 'socket'),
    ownersSocket: join(agent, 'owners'),
    bundle,
    ca: join(dir, 'authority.json'),
    caTrust: join(dir, 'trust'),
    layers,
    upper: join(layers, 'upper'),
    work: join(layers, 'work'),
    workspace: join(layers, 'workspace'),
    applied: join(dir, 'applied.json'),
    runtime: join(dir, 'runtime'),
    pidFile: join(bundle, 'pid'),
    startLog: join(bundle, 'start.log'),
    userns: join(bundle, 'userns'),
  };
}
