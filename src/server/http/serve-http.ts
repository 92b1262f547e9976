import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SessionEndReason } from '../../registry/types.ts';
import { Lazy } from '../../shared/async/lazy.ts';
import { type Clock, completesWithin, systemClock } from '../../shared/clock.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { isLoopback } from '../../shared/network/loopback.ts';
import type { Replica } from '../../shared/store/replica.ts';
import { selectTools } from '../select-tools.ts';
import { createAuthenticator } from './authenticate.ts';
import { allowCrossOrigin } from './cross-origin.ts';
import { type GitAccess, gitAdmission } from './git/git-access.ts';
import { GIT_PATH } from './git/git-path.ts';
import { GitRequests } from './git/git-requests.ts';
import { RepositoryNames } from './git/repository-names.ts';
import { SharedRepositoryNames } from './git/shared-repository-names.ts';
import { checkHost, type HostRules } from './host-check.ts';
import { HttpSessions, type HttpSessionsOptions } from './http-sessions.ts';
import { listen, stopAccepting, urlOf } from './listener.ts';
import { McpEndpoint } from './mcp-endpoint.ts';
import { Metrics } from './metrics/metrics.ts';
import { checkMetricsAccess } from './metrics/metrics-access.ts';
import type { IssuerKeysOptions } from './oauth/issuer-keys.ts';
import type { OAuth } from './oauth/oauth.ts';
import { scopeCheck } from './oauth/scope-check.ts';
import { offeredScopes, type Scope } from './oauth/scopes.ts';
import { ForwardedHeaders } from './previews/forwarded-headers.ts';
import { PreviewProxy, type PreviewProxyOptions } from './previews/preview-proxy.ts';
import { Previews } from './previews/previews.ts';
import { serveUpgrades } from './previews/upgrades.ts';
import { RateLimit } from './rate-limit.ts';
import { replicaAddress } from './replicas/replica-address.ts';
import { ReplicaService } from './replicas/replica-service.ts';
import { refuse, sendJson } from './reply.ts';
import { routeOf } from './routes.ts';
import { type SignalSource, shutdownSignals } from './shutdown-signals.ts';
import type { Tracing, TracingOptions } from './tracing/tracing.ts';

/** How long calls may still run after the first signal. */
const DRAIN_MS = 10_000;
/** The longest that a client may take to send a request. */
const REQUEST_MS = 120_000;
const HEADERS_MS = 30_000;
/** Longer than the idle time of common reverse proxies, which would otherwise use a connection being closed. */
const KEEP_ALIVE_MS = 65_000;
/** What servers that exited left, and records past their retention, are removed this often. */
const RECOVERY_MS = 600_000;
/** Time to send the last traces. */
const TRACES_MS = 1_000;

export interface HttpOptions extends Omit<HttpSessionsOptions, 'clock' | 'directory'> {
  /** If several replicas serve the same sessions. */
  replica?: Replica;
  /** The default: this process. */
  process?: SignalSource;
  clock?: Clock;
  drainMs?: number;
  requestMs?: number;
  maxMessageBytes?: number;
  /** How the authorization server is asked; for tests. */
  issuer?: IssuerKeysOptions;
  /** Called with the server's own URL, without `/mcp`, once it listens. */
  onListening?: (url: string) => void;
}

/**
 * Serves many clients over Streamable HTTP at `/mcp` until SIGTERM, SIGINT or SIGHUP. Then new requests are
 * refused, running calls get ten seconds (or until a second signal), and every session ends. Resolves with the
 * reason.
 *
 * @throws `unavailable` if the address cannot be used
 */
export async function serveHttp(options: HttpOptions): Promise<SessionEndReason> {
  const { config, log, clock = systemClock, registry } = options;
  const { host, port, tokens, rateLimit, allowedHosts, allowedOrigins, publicUrl } = config.http;
  const limits = {
    requestTimeout: options.requestMs ?? REQUEST_MS,
    headersTimeout: Math.min(HEADERS_MS, options.requestMs ?? REQUEST_MS),
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(5_000, options.requestMs ?? REQUEST_MS),
  };
  const server = createHttpServer(limits);
  const tools = selectTools(options.tools, config);
  const engine = config.engine === 'vercel' ? 'vercel' : 'oci';
  const tracing = config.http.traces ? await openTracing({ version: options.version, engine, log }) : null;
  const openOAuth = await loadOAuth(options, offeredScopes(tools, config));
  // No further await: a request before the handler is set would not be answered.
  await listen(server, host, port);
  const url = urlOf(host, server.address());
  const oauth = openOAuth(`${publicUrl ?? url}/mcp`);
  const onOutcome: HttpSessionsOptions['onOutcome'] = (outcome) => {
    metrics.recordCall(outcome);
    tracing?.recordCall(outcome);
  };
  const replicas = options.replica === undefined ? null : new ReplicaService(options.replica, { log, clock });
  const directory = replicas?.directory ?? null;
  const sessions = new HttpSessions({ ...options, clock, onOutcome, directory });
  const metrics = new Metrics({ sessions: () => sessions.size, registry });
  const publicHost = publicUrl === null ? [] : [new URL(publicUrl).hostname];
  const rules: HostRules = {
    loopback: isLoopback(host),
    names: ['localhost', ...publicHost, ...allowedHosts],
    origins: allowedOrigins,
  };
  const stateless = new Lazy(async () => {
    const { StatelessRequests } = await import('./stateless/stateless-requests.ts');
    return new StatelessRequests({ ...options, clock, onOutcome, directory }, replicas?.routing);
  });
  const authenticate = createAuthenticator(tokens, oauth);
  const checkScopes = scopeCheck(oauth, tools, config);
  const requiresToken = tokens.length > 0 || oauth !== null;
  const previews = openPreviews(options, publicUrl ?? url, {
    authenticate,
    requiresToken,
    checkScopes: (caller) => checkScopes(caller, {}),
  });
  const git = openGit(options, publicUrl ?? url, {
    authenticate,
    checkScopes: (caller) => checkScopes(caller, {}),
  });
  const endpoint = new McpEndpoint({
    sessions,
    routing: replicas?.routing ?? null,
    stateless: () => stateless.get(),
    authenticate,
    checkScopes,
    rateLimit: rateLimit === null ? null : new RateLimit(rateLimit),
    ...(options.maxMessageBytes !== undefined && { maxMessageBytes: options.maxMessageBytes }),
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (previews?.concerns(request)) return previews.handle(request, response);
    const route = routeOf(request.url ?? '', (path) => oauth?.resource.isMetadataPath(path) ?? false);
    if (route === 'health') return endpoint.health(response);
    const refused = checkHost(request.headers, rules);
    if (refused !== null) return refuse(response, refused);
    if (route === 'git') return git.handle(request, response);
    if (route === 'metrics') return sendMetrics(request, response, metrics, config.http.metricsDigest);
    if (allowCrossOrigin(request, response)) return;
    if (route === 'metadata' && oauth !== null) return sendJson(response, 200, oauth.resource.metadata);
    if (route === 'mcp') {
      await joined;
      return endpoint.handle(request, response);
    }
    refuse(response, { status: 404, message: 'Not found; the endpoint is /mcp.' });
  };
  // Requests wait for it; a failure ends the server.
  const joined = replicas?.start(replicaAddress(config.http, url, log), {
    sessions,
    callers: () => stateless.get(),
    openedCallers: () => stateless.ifUsed(async (requests) => requests),
  });
  metrics.watch(server);
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    metrics.watchResponse(response);
    response.on('error', (error) => log.debug({ err: error }, 'response not sent'));
    answer(request, response).catch((error: unknown) => {
      if (error instanceof SandboxError && error.code === 'unavailable') {
        log.warn({ err: error }, 'request refused');
        const message = `${error.message} ${error.hint}`;
        return refuse(response, { status: 503, message, headers: { 'retry-after': '1' } });
      }
      log.error({ err: error }, 'request failed');
      refuse(response, { status: 500, message: 'Internal error.' });
    });
  };
  server.on('request', listener);
  const connections = previews === null ? null : serveUpgrades(server, previews, listener, limits);
  await joined;
  log.info({ url: `${url}/mcp` }, 'listening');
  if (!requiresToken)
    log.warn(
      'No credentials are configured: every program on this machine may call the server, and no other.',
    );
  options.onListening?.(url);

  const recovery = new AbortController();
  recoverRegularly({ registry, log, clock }, recovery.signal);
  const { first, second } = shutdownSignals(options.process ?? process);
  await first;
  log.info('shutting down');
  recovery.abort();
  endpoint.drain();
  // Those whom nobody else serves are told so: a connection that is not accepted, or is closed while a request is
  // on its way, leaves its client without an answer.
  if (replicas !== null) await stopAccepting(server);
  const answered = Promise.all([sessions.answered(), stateless.ifUsed((requests) => requests.answered())]);
  await completesWithin(clock, options.drainMs ?? DRAIN_MS, Promise.race([answered, second]));
  await replicas?.stop();
  await Promise.all([sessions.close('signal'), stateless.ifUsed((requests) => requests.close('signal'))]);
  if (replicas === null) await stopAccepting(server);
  // Answers what has arrived meanwhile.
  await nextTurn();
  server.closeAllConnections();
  connections?.closeAll();
  await closeTracing(tracing, clock, log);
  return 'signal';
}

/** Null if there are no previews. */
function openPreviews(
  { config, log, registry }: HttpOptions,
  url: string,
  access: Pick<PreviewProxyOptions, 'authenticate' | 'requiresToken' | 'checkScopes'>,
): PreviewProxy | null {
  const { previewHost: host, previewAccess, trustedProxies } = config.http;
  if (host === null) return null;
  const forwarded = new ForwardedHeaders(trustedProxies);
  const previews = new Previews({ registry, host, url });
  registry.publishPorts((port) => previews.urlOf(port));
  return new PreviewProxy({ previews, forwarded, ownerOnly: previewAccess === 'owner', ...access, log });
}

function openGit(
  { config, log, registry, replica }: HttpOptions,
  url: string,
  access: Pick<GitAccess, 'authenticate' | 'checkScopes'>,
): GitRequests {
  const names = replica === undefined ? new RepositoryNames() : new SharedRepositoryNames(replica.store);
  registry.publishRepositories(async (sandbox) => `${url}${GIT_PATH}${await names.nameOf(sandbox)}`);
  const admit = gitAdmission({ ownerOnly: config.http.previewAccess === 'owner', ...access });
  return new GitRequests({ names, registry, admit, log });
}

/** Loads the libraries for traces. */
async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { startTracing } = await import('./tracing/open-telemetry.ts');
  return startTracing(options);
}

/** A collector that does not answer must not keep the server alive. */
async function closeTracing(tracing: Tracing | null, clock: Clock, log: Logger): Promise<void> {
  if (tracing === null) return;
  try {
    await completesWithin(clock, TRACES_MS, tracing.close());
  } catch (error) {
    log.warn({ err: error }, 'The last traces could not be sent.');
  }
}

async function sendMetrics(
  request: IncomingMessage,
  response: ServerResponse,
  metrics: Metrics,
  digest: string | null,
): Promise<void> {
  const refused = checkMetricsAccess(request, digest);
  if (refused !== null) return refuse(response, refused);
  const text = await metrics.render();
  response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
}

/** Loads the library for access tokens, only if an authorization server is configured. */
async function loadOAuth(
  { config, log, issuer }: HttpOptions,
  scopes: readonly Scope[],
): Promise<(url: string) => OAuth | null> {
  const { oauth } = config.http;
  if (oauth === null) return () => null;
  const { createOAuth } = await import('./oauth/oauth.ts');
  return (url) => createOAuth(oauth, { url, scopes, log, ...issuer });
}

/** Runs recoveries until the signal fires, each some time after the last. */
function recoverRegularly(
  { registry, log, clock }: Pick<HttpOptions, 'registry' | 'log'> & { clock: Clock },
  signal: AbortSignal,
): void {
  const recover = async (): Promise<void> => {
    if (signal.aborted) return;
    try {
      await registry.recover(signal);
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'recovery failed');
    }
    recoverRegularly({ registry, log, clock }, signal);
  };
  clock.setTimeout(() => void recover(), RECOVERY_MS);
}
