/** Assembles what the rooms of the engine share. Nothing is touched or probed before the first call. */
import type { ImageSettings, NpmSetting } from '../../config/config.ts';
import { pathExists } from '../../shared/fs/path-exists.ts';
import { makeDirectory } from '../../shared/fs/state-directory.ts';
import type { Logger } from '../../shared/log.ts';
import { SecretStore } from '../../shared/secrets.ts';
import type { OciRuntime } from './container/oci-runtime.ts';
import { chooseRuntime } from './container/runtime-probe.ts';
import type { OciContext, VolumeLimits } from './context.ts';
import type { OciShells } from './exec/shells.ts';
import { type AlterBundle, type Host, prepareHost } from './host/host.ts';
import { ImagePolicy, NO_IMAGE_SETTINGS } from './images/image-policy.ts';
import { EgressGatewayPool, type EgressOptions } from './network/egress-gateway-pool.ts';
import { PortForwards } from './ports/port-forwards.ts';
import { WebTerminals } from './ports/web-terminals.ts';
import { diskProbe } from './sandbox/disk-limit.ts';
import { ExpiryWatch } from './sandbox/expiry-watch.ts';
import { OwnerConnections } from './sandbox/owner-connections.ts';
import { reconcileRecord } from './sandbox/reconcile.ts';
import { DEFAULT_SOURCE_LIMITS, type SourceLimits } from './source/source-limits.ts';
import { StateLayout } from './state/state-layout.ts';
import { stockMaker } from './stock/boot-ahead.ts';
import { SandboxStock } from './stock/sandbox-stock.ts';
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
  /** How many sandboxes to boot ahead, once one was created. Default: none. */
  warm?: number;
  /** Default: 16 of any size. */
  volumeLimits?: VolumeLimits;
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
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => {
    const attempt = made ?? make();
    made = attempt;
    attempt.catch(() => {
      if (made === attempt) made = null;
    });
    return attempt;
  };
}

async function hasState(stateDir: string): Promise<boolean> {
  try {
    if (await pathExists(new StateLayout(stateDir).sandboxes)) return true;
    await makeDirectory(stateDir, 0o700);
    return false;
  } catch {
    // It cannot be used; preparing it reports why.
    return true;
  }
}

/** @param shells called when the first web terminal is opened */
export function openContext(options: OciEngineOptions, shells: () => OciShells): OciContext {
  const { log, secrets = new SecretStore() } = options;
  const egress = options.egress ?? { allow: [], dns: [], maxBytes: null };
  const host = once<Host>(() =>
    prepareHost(options.stateDir, options.agentPath, options.alterBundle ?? null),
  );
  // Shared by all callers, so cancelling one call must not cancel it for the others.
  const runtime = once<OciRuntime>(async () =>
    chooseRuntime(await host(), options.ociRuntime, AbortSignal.timeout(300_000)),
  );
  const context: OciContext = {
    log,
    secrets,
    timeZone: options.timeZone ?? null,
    npm: options.npm ?? { registry: null, caFile: null, files: [] },
    imagePolicy: new ImagePolicy(options.images ?? NO_IMAGE_SETTINGS),
    forwards: new PortForwards(new WebTerminals(shells, log), log),
    gateways: new EgressGatewayPool(egress, secrets, log),
    owners: new OwnerConnections(),
    expiry: new ExpiryWatch((sandboxId) => reconcileRecord(context, sandboxId), log),
    disk: new DiskWatch(
      diskProbe(() => context),
      log,
    ),
    stock: new SandboxStock(
      options.warm ?? 0,
      stockMaker(() => context),
      log,
    ),
    diskMb: options.diskMb ?? null,
    volumeLimits: options.volumeLimits ?? { mb: null, count: 16 },
    sourceLimits: { ...DEFAULT_SOURCE_LIMITS, ...options.sourceLimits },
    hasState: () => hasState(options.stateDir),
    host,
    runtime,
  };
  return context;
}
