/** Starts a container by the OCI runtime; everything after that goes through the agent. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { throwIfCancelled } from '../../../shared/errors.ts';
import { identify, isProcessAlive, type ProcessIdentity } from '../../../shared/process-identity.ts';
import { AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

/** How to call a runtime on this host; found by a probe that really ran one. */
export interface OciRuntime {
  /** `crun`, `runc` or `runsc`. */
  name: string;
  path: string;
  version: string;
  /** `cgroupfs`: as root; `systemd`: a delegated scope; `none`: no limits by cgroup. */
  cgroups: 'cgroupfs' | 'systemd' | 'none';
  /** True where the unified hierarchy of a hybrid host has to be out of crun's sight. */
  hideUnified: boolean;
  /** Whether a sandbox's connections out can be handed to a gateway here. */
  egress: boolean;
}

/** The agent's `launch`, which starts the runtime, and what it mounts before. */
export interface Launcher {
  agent: string;
  mounts: string[];
}

/** A start takes a tenth of a second; these end one that hangs, and no slow one on a busy machine. */
const START_TIMEOUT_MS = 120_000;
const AGENT_TIMEOUT_MS = 60_000;

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
    '1',
    '--pid-file',
    paths.pidFile,
    '--bundle',
    paths.bundle,
    id,
  ];
}

/** The runtime's own words, shortened; they may name paths of this host, so they go to the log and to doctor alone. */
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

/** Resolves once the launcher is gone; on an abort it first ends all that the runtime has started. Null after a signal. */
async function runToExit(child: ChildProcess, signal: AbortSignal): Promise<number | null> {
  const release = onAbort(signal, () => child.kill('SIGTERM'));
  try {
    await once(child, 'exit');
    return child.exitCode;
  } finally {
    release();
  }
}

/**
 * Runs the bundle, which must be complete, and answers the agent's process and an open connection to it.
 * The runtime dies with this process; an abort kills it. What it may have made is the caller's to remove.
 */
export async function startContainer(
  runtime: OciRuntime,
  launcher: Launcher,
  paths: SandboxPaths,
  id: string,
  signal: AbortSignal,
): Promise<{ init: ProcessIdentity; connection: AgentConnection }> {
  const directory = await open(
    paths.agent,
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  );
  const log = await open(paths.startLog, 'w', 0o600);
  const hide = runtime.hideUnified ? ['--hide-unified'] : [];
  try {
    const exitCode = await runToExit(
      spawn(
        launcher.agent,
        ['launch', ...hide, ...launcher.mounts, ...runtimeArguments(runtime, paths, id)],
        {
          // The agent directory is the only thing of the host that the container gets, as descriptor 3.
          stdio: ['ignore', log.fd, log.fd, directory.fd],
          cwd: paths.bundle,
          env: runtimeEnvironment(),
        },
      ),
      anySignal([signal, AbortSignal.timeout(START_TIMEOUT_MS)]),
    );
    throwIfCancelled(signal);
    if (exitCode !== 0) throw await startFailure(paths, `ended with ${exitCode ?? 'a signal'}`);
  } finally {
    await Promise.all([directory.close(), log.close()]);
  }
  const init = identify(Number((await readFile(paths.pidFile, 'utf8')).trim()));
  if (init === null) throw await startFailure(paths, 'started a container that ended at once');
  return { init, connection: await waitForAgent(paths, init, signal) };
}

/** What rootless runtimes and systemd scopes need to find the user's session; nothing else of the server's environment. */
function runtimeEnvironment(): Record<string, string> {
  const uid = process.getuid?.() ?? 0;
  const session = uid === 0 ? {} : { XDG_RUNTIME_DIR: `/run/user/${uid}` };
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...session };
}
