/** The `oci` engine: local sandboxes run by an installed OCI runtime, without a daemon. */

import { traced } from '../../shared/async/traced.ts';
import { SandboxError } from '../../shared/errors.ts';
import { unknownSandbox } from '../../shared/id-errors.ts';
import { currentProcess } from '../../shared/process-identity.ts';
import type { Engine, Ownership, Ports, Sandbox, Stock } from '../engine.ts';
import { withUploads } from '../workspace/uploads/with-uploads.ts';
import { removeSandbox } from './cleanup/cleanup.ts';
import type { OciContext } from './context.ts';
import { createSandbox } from './create-sandbox.ts';
import { ociLimits } from './engine-limits.ts';
import { OciCommands } from './exec/commands.ts';
import { OciGit } from './exec/git.ts';
import { runAsRoot } from './exec/run-as-root.ts';
import { OciShells } from './exec/shells.ts';
import { OciFiles } from './files/files.ts';
import { OciImages } from './images/images.ts';
import { DEFAULT_RUNTIME, ociRuntimes } from './images/runtimes.ts';
import { type OciEngineOptions, openContext } from './open-context.ts';
import { readListeners } from './ports/listeners.ts';
import { fromAgentError } from './protocol/agent-errors.ts';
import { recoverAll } from './recover.ts';
import { diagnoseDisconnect } from './sandbox/agent-disconnect.ts';
import { exposePort } from './sandbox/expose-port.ts';
import { extendTimeout } from './sandbox/extend-timeout.ts';
import { listSandboxes } from './sandbox/list-sandboxes.ts';
import { type End, endSandbox, reconcileRecord } from './sandbox/reconcile.ts';
import { viewOf } from './sandbox/sandbox-view.ts';
import { updateNetworkPolicy } from './sandbox/update-network-policy.ts';
import { OciSnapshots } from './snapshots/snapshots.ts';
import { isInternal, isUnreadable } from './state/sandbox-record.ts';
import { StateLayout } from './state/state-layout.ts';
import { suitsStock } from './stock/take-from-stock.ts';
import { OciVolumes } from './volumes/volumes.ts';
import { whyNotMounted } from './workspace/mount.ts';
import { mountedWorkspaces } from './workspace/workspaces.ts';

/** Creates the engine; nothing is touched or probed before its first call. */
export function createOciEngine(options: OciEngineOptions): Engine {
  const context = openContext(options, () => shells);
  const { forwards, gateways, expiry, owners, disk, stock } = context;
  const commands = new OciCommands(context);
  const shells = new OciShells(context);
  const git = new OciGit(context);
  const snapshots = new OciSnapshots(context);

  const files = new OciFiles(context);
  const layout = new StateLayout(options.stateDir);

  const engine: Engine = {
    name: 'oci',
    commands,
    files,
    shells,
    git,
    snapshots,
    images: new OciImages(context),
    workspaces: mountedWorkspaces(() => context.host()),
    volumes: new OciVolumes(context),
    sources: { types: ['git', 'tarball', 'snapshot'] },
    ports: portsOf(context),
    ownership: ownershipOf(context),
    stock: stockOf(context),
    networkPolicies: {
      update: (sandboxId, policy, signal) => updateNetworkPolicy(context, sandboxId, policy, signal),
      activity: async (sandboxId) =>
        gateways.activity((await context.host()).layout.sandbox(sandboxId), sandboxId),
    },

    create: (request, signal, report) =>
      stock.during(async () => {
        const sandbox = await createSandbox(context, request, signal, report);
        if (suitsStock(request, DEFAULT_RUNTIME)) stock.want(request);
        return sandbox;
      }),
    get: (sandboxId) => getSandbox(context, sandboxId),
    list: (query) => listSandboxes(context, query),
    limits: (signal) => ociLimits(context, signal),
    runtimes: async () => ociRuntimes(context),
    recover: (signal) => recoverAll(context, signal),
    extendTimeout: async (sandboxId, durationMs, signal) =>
      viewOf(await extendTimeout(context, sandboxId, durationMs, signal), forwards),
    stop: (sandboxId, cause) =>
      stock.during(() => traced('engine', 'stop', () => stopSandbox(context, sandboxId, cause))),
    forget: (sandboxId) => stock.during(() => forgetSandbox(context, sandboxId)),

    async close() {
      const emptied = stock.close();
      commands.close();
      expiry.close();
      disk.close();
      owners.closeAll();
      await Promise.all([
        emptied,
        shells.close(),
        git.close(),
        snapshots.close(),
        forwards.closeAll(),
        gateways.closeAll(),
      ]);
    },
  };
  return withUploads(engine, {
    guest: {
      survey: (sandboxId, path, signal, onLeftOut) => files.survey(sandboxId, path, signal, onLeftOut),
      runAsRoot: (sandboxId, script, args, signal) => runAsRoot(commands, sandboxId, script, args, signal),
      whyNotMounted: async (folder) => whyNotMounted(await context.host(), folder),
      directoryOf: (sandboxId) => layout.sandbox(sandboxId).dir,
    },
    stateDir: options.stateDir,
    journals: layout.journals,
    log: context.log,
  });
}

function portsOf(context: OciContext): Ports {
  return {
    async open(sandboxId, signal) {
      const record = await reconcileRecord(context, sandboxId);
      if (record.status !== 'running') return;
      const host = await context.host();
      const paths = host.layout.sandbox(sandboxId);
      // The gateway is opened together with the ports: both need a running process, and this is the one
      // being called.
      if ((await context.runtime(signal)).egress)
        await context.gateways.open(host, sandboxId, paths, record.networkPolicy);
      await context.forwards.open(paths.agentSocket, record);
      context.expiry.watch(sandboxId, record.expiresAt);
      context.disk.watch(sandboxId, record.diskMb, record.volumes.length > 0);
    },
    forwardedUrl: (sandboxId, port) => context.forwards.url(sandboxId, port),
    expose: (sandboxId, port) => exposePort(context, sandboxId, port),
    async listeners(sandboxId, signal) {
      const record = await reconcileRecord(context, sandboxId);
      if (record.status !== 'running') return [];
      const { layout } = await context.host();
      try {
        return await readListeners(layout.sandbox(sandboxId).agentSocket, signal);
      } catch (error) {
        const failure = await diagnoseDisconnect(context, sandboxId, error, signal);
        throw fromAgentError(failure, 'the listening ports');
      }
    },
    listenersMs: 100,
  };
}

function ownershipOf(context: OciContext): Ownership {
  return {
    async take(sandboxId) {
      const record = await reconcileRecord(context, sandboxId);
      if (record.status !== 'running') return;
      const { layout } = await context.host();
      await context.owners.connect(sandboxId, layout.sandbox(sandboxId).ownersSocket);
    },
    giveUp: (sandboxId) => context.owners.close(sandboxId),
  };
}

function stockOf({ stock }: OciContext): Stock {
  return {
    reserve: (request) => (suitsStock(request, DEFAULT_RUNTIME) ? stock.reserve(request) : null),
    giveBack: (sandboxId) => stock.giveBack(sandboxId),
    empty: () => stock.close(),
  };
}

/** One that nobody has asked for does not exist for anybody yet, although its id may be reserved. */
async function getSandbox(context: OciContext, sandboxId: string): Promise<Sandbox> {
  const record = await reconcileRecord(context, sandboxId);
  if (isInternal(record)) throw unknownSandbox(sandboxId);
  return viewOf(record, context.forwards);
}

async function stopSandbox(
  context: OciContext,
  sandboxId: string,
  cause: 'requested' | 'session_end',
): Promise<Sandbox> {
  await reconcileRecord(context, sandboxId);
  // Processes end at once, those of many sandboxes side by side; files are removed as time permits.
  if (cause === 'session_end') context.owners.close(sandboxId);
  const end: End = { status: 'stopped', cause, reason: null };
  return viewOf(await endSandbox(context, sandboxId, end, currentProcess()), context.forwards);
}

async function forgetSandbox(context: OciContext, sandboxId: string): Promise<void> {
  context.stock.claim(sandboxId);
  const end: End = { status: 'stopped', cause: 'requested', reason: null };
  try {
    await endSandbox(context, sandboxId, end, currentProcess());
  } catch (error) {
    // Without a readable record, everything is found by the id.
    const missing = error instanceof SandboxError && error.code === 'not_found';
    if (!missing && !isUnreadable(error)) throw error;
  }
  await removeSandbox(await context.host(), sandboxId);
}
