/** The `oci` engine: local sandboxes run by an installed OCI runtime, without a daemon. */

import type { ImageSettings, NpmSetting } from '../../config/config.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { currentProcess } from '../../shared/process-identity.ts';
import { SecretStore } from '../../shared/secrets.ts';
import type { CreateSandbox, Engine, ListQuery } from '../engine.ts';
import { removeSandbox } from './cleanup/cleanup.ts';
import type { OciRuntime } from './container/oci-runtime.ts';
import { chooseRuntime } from './container/runtime-probe.ts';
import type { OciContext } from './context.ts';
import { createSandbox } from './create-sandbox.ts';
import { ociLimits } from './engine-limits.ts';
import { OciCommands } from './exec/commands.ts';
import { OciShells } from './exec/shells.ts';
import { OciFiles } from './files/files.ts';
import { type AlterBundle, type Host, prepareHost } from './host/host.ts';
import { ImagePolicy, NO_IMAGE_SETTINGS } from './images/image-policy.ts';
import { OciImages } from './images/images.ts';
import { ociRuntimes } from './images/runtimes.ts';
import { EgressGatewayPool, type EgressOptions } from './network/egress-gateway-pool.ts';
import { PortForwards } from './ports/port-forwards.ts';
import { WebTerminals } from './ports/web-terminals.ts';
import { recoverAll } from './recover.ts';
import { diskProbe } from './sandbox/disk-limit.ts';
import { ExpiryWatch } from './sandbox/expiry-watch.ts';
import { exposePort } from './sandbox/expose-port.ts';
import { extendTimeout } from './sandbox/extend-timeout.ts';
import { listSandboxes } from './sandbox/list-sandboxes.ts';
import { OwnerConnections } from './sandbox/owner-connections.ts';
import { type End, endSandbox, reconcileRecord } from './sandbox/reconcile.ts';
import { viewOf } from './sandbox/sandbox-view.ts';
import { updateNetworkPolicy } from './sandbox/update-network-policy.ts';
import { OciSnapshots } from './snapshots/snapshots.ts';
import { DEFAULT_SOURCE_LIMITS, type SourceLimits } from './source/source-limits.ts';
import { isUnreadable } from './state/sandbox-record.ts';
import { DiskWatch } from './storage/disk-watch.ts';

export interface OciEngineOptions {
  /** Absolute path. Created if missing. */
  stateDir: string;
  /** `auto`, `crun`, `runc`, `runsc` or a path. */
  ociRuntime: string;
  /** The agent's executable for this machine, e.g. `dist/agent-x64`. */
  agentPath: string;
  /**
   * The operator's network settings. Default: no private range is opened, and the host's name servers are
   * used.
   */
  egress?: EgressOptions;
  /** Disk limit of each sandbox, in MiB; null or omitted: no limit. */
  diskMb?: number | null;
  /** Where Node releases are downloaded from. Default: npm's own configuration. */
  npm?: NpmSetting;
  /**
   * Which images agents may name, and how their registries are reached. Default: those of public registries.
   */
  images?: ImageSettings;
  /** The values of `${secret:NAME}`. Default: none. */
  secrets?: SecretStore;
  /** `TZ` of every program. Default: not set, and `/etc/localtime` has the host's. */
  timeZone?: string | null;
  /** Overrides of the limits of fetching a source. */
  sourceLimits?: Partial<SourceLimits>;
  log: Logger;
  /** For tests only: no flag and no tool sets it. */
  alterBundle?: AlterBundle;
}

/** Caches what `make` resolves to. A failure is not cached, so the next call tries again. */
function once<T>(make: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let made: Promise<T> | null = null;
  return (signal) => {
    const attempt = made ?? make(signal);
    made = attempt;
    attempt.catch(() => {
      if (made === attempt) made = null;
    });
    return attempt;
  };
}

/** Creates the engine; nothing is touched or probed before its first call. */
export function createOciEngine(options: OciEngineOptions): Engine {
  const { log, secrets = new SecretStore() } = options;
  const forwards = new PortForwards(new WebTerminals(() => shells, log), log);
  const egress = options.egress ?? { allow: [], dns: [], maxBytes: null };
  const gateways = new EgressGatewayPool(egress, secrets, log);
  const host = once<Host>(() =>
    prepareHost(options.stateDir, options.agentPath, options.alterBundle ?? null),
  );
  // Shared by all callers, so cancelling one call must not cancel it for the others.
  const runtime = once<OciRuntime>(async () =>
    chooseRuntime(await host(never), options.ociRuntime, AbortSignal.timeout(300_000)),
  );
  const expiry = new ExpiryWatch((sandboxId) => reconcileRecord(context, sandboxId), log);
  const owners = new OwnerConnections();
  const npm = options.npm ?? { registry: null, caFile: null, files: [] };
  const context: OciContext = {
    log,
    secrets,
    timeZone: options.timeZone ?? null,
    npm,
    imagePolicy: new ImagePolicy(options.images ?? NO_IMAGE_SETTINGS),
    forwards,
    gateways,
    owners,
    expiry,
    disk: new DiskWatch(
      diskProbe(() => context),
      log,
    ),
    diskMb: options.diskMb ?? null,
    sourceLimits: { ...DEFAULT_SOURCE_LIMITS, ...options.sourceLimits },
    host: () => host(never),
    runtime,
  };
  const commands = new OciCommands(context);
  const shells = new OciShells(context);
  const snapshots = new OciSnapshots(context);

  return {
    name: 'oci',
    commands,
    files: new OciFiles(context),
    shells,
    snapshots,
    images: new OciImages(context),
    sources: { types: ['git', 'tarball', 'snapshot'] },
    ports: {
      async open(sandboxId, signal) {
        const record = await reconcileRecord(context, sandboxId);
        if (record.status !== 'running') return;
        const present = await context.host();
        const paths = present.layout.sandbox(sandboxId);
        // The gateway is opened together with the ports: both need a running process, and this is the one
        // being called.
        if ((await runtime(signal)).egress)
          await gateways.open(present, sandboxId, paths, record.networkPolicy);
        await forwards.open(paths.agentSocket, record);
        expiry.watch(sandboxId, record.expiresAt);
        context.disk.watch(sandboxId, record.diskMb);
      },
      expose: (sandboxId, port) => exposePort(context, sandboxId, port),
    },
    ownership: {
      async take(sandboxId) {
        const record = await reconcileRecord(context, sandboxId);
        if (record.status !== 'running') return;
        const { layout } = await context.host();
        await owners.connect(sandboxId, layout.sandbox(sandboxId).ownersSocket);
      },
      giveUp: (sandboxId) => owners.close(sandboxId),
    },
    networkPolicies: {
      update: (sandboxId, policy, signal) => updateNetworkPolicy(context, sandboxId, policy, signal),
      async activity(sandboxId) {
        return gateways.activity((await host(never)).layout.sandbox(sandboxId), sandboxId);
      },
    },

    create: (request: CreateSandbox, signal, report) => createSandbox(context, request, signal, report),
    get: async (sandboxId) => viewOf(await reconcileRecord(context, sandboxId), forwards),
    list: (query: ListQuery) => listSandboxes(context, query),
    limits: (signal) => ociLimits(context, signal),
    runtimes: async () => ociRuntimes(context),
    recover: (signal) => recoverAll(context, signal),

    extendTimeout: async (sandboxId, durationMs, signal) =>
      viewOf(await extendTimeout(context, sandboxId, durationMs, signal), forwards),

    async stop(sandboxId, cause) {
      await reconcileRecord(context, sandboxId);
      // Processes end at once, those of many sandboxes side by side; files are removed as time permits.
      if (cause === 'session_end') owners.close(sandboxId);
      return viewOf(
        await endSandbox(context, sandboxId, { status: 'stopped', cause, reason: null }, currentProcess()),
        forwards,
      );
    },

    async forget(sandboxId) {
      try {
        await endSandbox(context, sandboxId, REQUESTED, currentProcess());
      } catch (error) {
        // Without a readable record, everything is found by the id.
        const missing = error instanceof SandboxError && error.code === 'not_found';
        if (!missing && !isUnreadable(error)) throw error;
      }
      await removeSandbox(await context.host(), sandboxId);
    },

    async close() {
      commands.close();
      expiry.close();
      context.disk.close();
      owners.closeAll();
      await Promise.all([shells.close(), snapshots.close(), forwards.closeAll(), gateways.closeAll()]);
    },
  };
}

const REQUESTED: End = { status: 'stopped', cause: 'requested', reason: null };

/** For work that no single call may cancel. */
const never = new AbortController().signal;
