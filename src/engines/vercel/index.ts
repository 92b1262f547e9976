/** Sandboxes in Vercel's cloud, through its official SDK. */
import { join } from 'node:path';
import type { ProxySettings, VercelEnvironment } from '../../config/config.ts';
import type { Logger } from '../../shared/log.ts';
import type { SecretStore } from '../../shared/secrets.ts';
import type { Replica } from '../../shared/store/replica.ts';
import type { Engine } from '../engine.ts';
import { withUploads } from '../workspace/uploads/with-uploads.ts';
import { VercelCommands } from './commands/commands.ts';
import type { ReadPolicy, VercelContext } from './context.ts';
import { digestFiles } from './files/digest-files.ts';
import { VercelFiles } from './files/files.ts';
import { gitOf } from './files/git.ts';
import { runAsRoot } from './files/run-as-root.ts';
import { surveyTree } from './files/survey-tree.ts';
import { CredentialSource } from './http/credential-source.ts';
import { DEFAULT_TUNING, type HttpTuning, openDispatchers } from './http/dispatchers.ts';
import { createFetch } from './http/fetch.ts';
import { SdkClient } from './http/sdk-client.ts';
import { UnknownPolicyParts } from './http/unknown-policy-parts.ts';
import { exposePort } from './ports/expose-port.ts';
import { readListeners } from './ports/listeners.ts';
import { Creations } from './sandbox/create.ts';
import { VERCEL_LIMITS } from './sandbox/engine-limits.ts';
import { getSandbox } from './sandbox/get-sandbox.ts';
import { Leases } from './sandbox/lease.ts';
import { extendTimeout, forgetSandbox, recoverAll, stopSandbox } from './sandbox/lifecycle.ts';
import { listSandboxes } from './sandbox/list.ts';
import { persistenceOf } from './sandbox/persistence.ts';
import { VERCEL_RUNTIMES } from './sandbox/runtime-choice.ts';
import { VercelSnapshots } from './sandbox/snapshots.ts';
import { updatePolicy } from './sandbox/update-policy.ts';
import { VercelShells } from './shells/shells.ts';
import { VercelLayout } from './state/state-layout.ts';

export interface VercelEngineOptions {
  /** Absolute. State of this machine is stored in its `vercel` folder. */
  readonly stateDir: string;
  /** The base URL for all requests of the SDK; null for `https://vercel.com/api`. */
  readonly apiUrl: string | null;
  /** One engine uses one set of credentials: principals with their own each get their own engine. */
  readonly environment: VercelEnvironment;
  readonly proxy: ProxySettings;
  /** Substituted where values are sent to the platform. */
  readonly secrets: SecretStore;
  readonly readPolicy: ReadPolicy;
  /** If others serve the same sandboxes: records are in its store instead of the state directory. */
  readonly replica?: Replica;
  readonly log: Logger;
  /** For tests, which cannot wait for real network timeouts. */
  readonly tuning?: Partial<HttpTuning>;
}

/** Creates the engine; no request is sent before its first call. */
export function createVercelEngine(options: VercelEngineOptions): Engine {
  const { apiUrl, proxy, secrets, readPolicy, log } = options;
  const tuning = { ...DEFAULT_TUNING, ...options.tuning };
  const dispatchers = openDispatchers(proxy, tuning);
  const credentials = new CredentialSource(options.environment, log);
  const unknownParts = new UnknownPolicyParts();
  const fetch = createFetch({ baseUrl: apiUrl, credentials, dispatchers, unknownParts, tuning, log });
  const cloud = new SdkClient(fetch, credentials, unknownParts);
  const { replica = null } = options;
  const layout = new VercelLayout(options.stateDir, replica?.store);
  const context: VercelContext = { cloud, layout, tuning, secrets, readPolicy, replica, log };
  const leases = new Leases(context);
  const creations = new Creations(context, leases);
  const commands = new VercelCommands(context);
  const shells = new VercelShells(context, {
    proxy,
    tuning,
    plainAllowed: apiUrl?.startsWith('http:') ?? false,
  });

  const engine: Engine = {
    name: 'vercel',
    commands,
    files: new VercelFiles(context),
    git: gitOf(context),
    shells,
    snapshots: new VercelSnapshots(context),
    sources: { types: ['git', 'tarball', 'snapshot'] },
    ports: {
      // The cloud forwards them whether or not this process is running.
      async open(sandboxId, signal) {
        await getSandbox(context, sandboxId, signal);
      },
      expose: (sandboxId, port, signal) => exposePort(context, sandboxId, port, signal),
      listeners: (sandboxId, signal) => readListeners(context, sandboxId, signal),
      // Two commands over the network.
      listenersMs: 3_000,
    },
    networkPolicies: {
      ruleEffects: ['forwardUrl', 'response'],
      update: (sandboxId, policy, signal) => updatePolicy(context, sandboxId, policy, signal),
    },

    ownership: {
      take: (sandboxId, signal) => creations.takeOver(sandboxId, signal),
      giveUp: (sandboxId) => leases.release(sandboxId),
    },
    regions: { example: 'iad1' },
    persistence: persistenceOf(context),

    create: (request, signal, report) => creations.create(request, signal, report),
    get: (sandboxId, signal) => getSandbox(context, sandboxId, signal),
    list: (query, signal) => listSandboxes(context, query, signal),
    extendTimeout: (sandboxId, durationMs, signal) =>
      extendTimeout(context, leases, sandboxId, durationMs, signal),
    stop: (sandboxId, cause, signal) => stopSandbox(context, sandboxId, cause, signal),
    forget: (sandboxId, signal) => forgetSandbox(context, creations, sandboxId, signal),
    recover: (signal) => recoverAll(context, signal),
    limits: () => Promise.resolve(VERCEL_LIMITS),
    runtimes: () => Promise.resolve(VERCEL_RUNTIMES),

    async close() {
      await leases.close();
      commands.close();
      await shells.close();
      await dispatchers.close();
    },
  };
  return withUploads(engine, {
    guest: {
      survey: (sandboxId, path, signal, onLeftOut) => surveyTree(context, sandboxId, path, signal, onLeftOut),
      digests: (sandboxId, ...rest) => digestFiles(context, sandboxId, ...rest),
      runAsRoot: (sandboxId, script, args, signal) => runAsRoot(context, sandboxId, script, args, signal),
      whyNotMounted: () => Promise.resolve('the sandbox runs in the cloud'),
      directoryOf: (sandboxId) => layout.sandbox(sandboxId).dir,
    },
    stateDir: options.stateDir,
    journals: join(options.stateDir, 'journals'),
    log,
  });
}
