/** Starts a container with the OCI runtime; everything after that goes through the agent. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { traced } from '../../../shared/async/traced.ts';
import { whenSpawned } from '../../../shared/async/when-spawned.ts';
import { throwIfCancelled } from '../../../shared/errors.ts';
import { identify, isProcessAlive, type ProcessIdentity } from '../../../shared/process-identity.ts';
import { verifyAgent } from '../host/agent-program.ts';
import { AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

/** How to call a runtime on this host, as verified by a probe that ran a sandbox. */
export interface OciRuntime {
  /** `crun`, `runc` or `runsc`. */
  name: string;
  path: string;
  version: string;
  /** `cgroupfs`: as root; `systemd`: a delegated scope; `none`: no cgroup limits. */
  cgroups: 'cgroupfs' | 'systemd' | 'none';
  /** True where the unified hierarchy of a hybrid host must be hidden from crun. */
  hideUnified: boolean;
  /** Whether sandboxes can have network through a gateway here. */
  egress: boolean;
  /** Whether the kernel limits what each user of a sandbox may have of inotify and fanotify. */
  userLimits: boolean;
}

/** The agent's `launch` command, which starts the runtime, and the mounts it makes first. */
export interface Launcher {
  agent: string;
  mounts: string[];
  /** The folder of a workspace, which the launcher gets as descriptor 5; null without one. */
  workspaceFd?: number | null;
}

/**
 * A start takes a tenth of a second; these limits abort one that hangs, but not a slow one on a busy machine.
 */
const START_TIMEOUT_MS = 120_000;
const AGENT_TIMEOUT_MS = 60_000;
/** The agent's descriptor of the connection to the server that starts it. */
const OWNER_FD = 4;
/** How much lower the priority of a sandbox is that no cgroup gives a smaller share of the processors (nice(2)). */
const NICENESS = 5;

function runtimeArguments(runtime: OciRuntime, paths: SandboxPaths, id: string): string[] {
  const manager =
    runtime.cgroups === 'systemd'
      ? ['--systemd-cgroup']
      : runtime.cgroups === 'none' && runtime.name === 'crun'
        ? ['--cgroup-manager=disabled']
        : [];
  return [
    runtime.path,
    ...manager,
    '--root',
    paths.runtime,
    'run',
    '--detach',
    '--preserve-fds',
    '2',
    '--pid-file',
    paths.pidFile,
    '--bundle',
    paths.bundle,
    id,
  ];
}

/**
 * The runtime's own message, shortened. It may contain host paths, so it goes to the log and to doctor only.
 */
async function startFailure(paths: SandboxPaths, how: string): Promise<Error> {
  const text = (await readFile(paths.startLog, 'utf8')).trim().slice(-2_000);
  return new Error(`the OCI runtime ${how}: ${text}`);
}

/** Waits as long as the agent's process lives, within reason. */
async function waitForAgent(
  paths: SandboxPaths,
  init: ProcessIdentity,
  signal: AbortSignal,
): Promise<AgentConnection> {
  const deadline = performance.now() + AGENT_TIMEOUT_MS;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const alive = isProcessAlive(init);
    try {
      return await AgentConnection.open(paths.agentSocket, signal);
    } catch (error) {
      if (!(error instanceof AgentDisconnectedError) || !alive || performance.now() > deadline) throw error;
    }
    await delay(pause);
    throwIfCancelled(signal);
  }
}

/**
 * Resolves with the launcher's exit code, null after a signal. On abort it first kills everything the runtime
 * started.
 */
async function runToExit(child: ChildProcess, signal: AbortSignal): Promise<number | null> {
  const release = onAbort(signal, () => child.kill('SIGTERM'));
  try {
    await once(child, 'exit');
    return child.exitCode;
  } finally {
    release();
  }
}

/** A container that has started. */
export interface StartedContainer {
  init: ProcessIdentity;
  connection: AgentConnection;
  /** While it is open, this process owns the sandbox. */
  owner: Socket;
}

/** The server's end of the connection that the launcher passes on to the agent. */
function ownerConnection(child: ChildProcess): Socket {
  const socket = child.stdio[OWNER_FD];
  if (!(socket instanceof Socket)) throw new Error('the launcher has no owner connection');
  socket.on('error', () => {});
  return socket;
}

/**
 * Runs the complete bundle and returns the agent's process and connections to it. The runtime dies with this
 * process and on abort, and the container does from its first moment. The caller removes what it may have
 * created.
 */
export async function startContainer(
  runtime: OciRuntime,
  launcher: Launcher,
  paths: SandboxPaths,
  id: string,
  signal: AbortSignal,
): Promise<StartedContainer> {
  await verifyAgent(launcher.agent);
  const directory = await open(
    paths.agent,
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  );
  const log = await open(paths.startLog, 'w', 0o600);
  const options = [
    ...['--user-limits', paths.pidFile],
    ...(runtime.cgroups === 'none' ? ['--nice', String(NICENESS)] : []),
    ...(runtime.hideUnified ? ['--hide-unified'] : []),
    ...launcher.mounts,
  ];
  const workspace = typeof launcher.workspaceFd === 'number' ? [launcher.workspaceFd] : [];
  let owner: Socket | null = null;
  try {
    const starting = spawn(launcher.agent, ['launch', ...options, ...runtimeArguments(runtime, paths, id)], {
      // The agent directory is the only host directory that the container receives, as descriptor 3.
      stdio: ['ignore', log.fd, log.fd, directory.fd, 'pipe', ...workspace],
      cwd: paths.bundle,
      env: runtimeEnvironment(),
    });
    const launching = await whenSpawned(starting);
    owner = ownerConnection(launching);
    const limited = anySignal([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
    const exitCode = await traced('engine', `launch by ${runtime.name}`, () => runToExit(launching, limited));
    throwIfCancelled(signal);
    if (exitCode !== 0) throw await startFailure(paths, `ended with ${exitCode ?? 'a signal'}`);
    const init = identify(Number((await readFile(paths.pidFile, 'utf8')).trim()));
    if (init === null) throw await startFailure(paths, 'started a container that exited immediately');
    const connection = await traced('agent', 'connection', () => waitForAgent(paths, init, signal));
    return { init, connection, owner };
  } catch (error) {
    owner?.destroy();
    throw error;
  } finally {
    await Promise.all([directory.close(), log.close()]);
  }
}

/** What rootless runtimes and systemd scopes need to find the user's session; nothing else is inherited. */
function runtimeEnvironment(): Record<string, string> {
  const uid = process.getuid?.() ?? 0;
  const session = uid === 0 ? {} : { XDG_RUNTIME_DIR: `/run/user/${uid}` };
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...session };
}
