/**
 * Terminates TLS for names whose requests get headers: an issued certificate inside, a verified connection
 * outside.
 */
import { Agent, type ClientRequest } from 'node:http';
import { type Duplex, PassThrough } from 'node:stream';
import { createServer, type SecureContext, type TLSSocket } from 'node:tls';
import type { GatewayContext } from '../connection/context.ts';
import { DialError } from '../connection/dial.ts';
import type { TlsKeyProvider } from '../connection/tls-trust.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';
import { checkInnerRequest, type TerminatedConnection } from '../http/check-inner-request.ts';
import { serveHttp1 } from '../http/http1-proxy.ts';
import { serveHttp2 } from '../http/http2-proxy.ts';
import { requestedHost } from '../http/request.ts';
import type { Route } from '../http/upstream-route.ts';
import { HTTP1, HTTP2 } from './offers-http.ts';
import { dialTls } from './upstream.ts';

/** Long, since either side may be a heavily loaded machine. */
const HANDSHAKE_MS = 60_000;

/** A connection by its client's server name. */
export interface TlsClient {
  /** Normalized. */
  readonly name: string;
  /** The ALPN protocols that the client offers. */
  readonly protocols: readonly string[];
}

/**
 * Serves a connection to a name that the policy allows. Both sides speak the protocol that the server chose
 * from the client's offer, as if they were connected directly. If the server cannot be reached or trusted,
 * the client gets an HTTP response that says so.
 */
export async function terminateTls(
  tracked: TrackedConnection,
  context: GatewayContext,
  keys: TlsKeyProvider,
  named: TlsClient,
): Promise<void> {
  const { name, protocols } = named;
  const offered = protocols.filter((protocol) => protocol === HTTP1 || protocol === HTTP2);
  const certificate = await keys.contextFor(name);
  const upstream = await dialOrError(dialTls(tracked, context, keys, name, offered));
  if (tracked.ended) return;
  const chosen = upstream instanceof DialError ? (offered[0] ?? null) : upstream.alpnProtocol || null;
  const stream = await tracked.connection.takeStream();
  if (stream === null) {
    if (!(upstream instanceof DialError)) upstream.destroy();
    return;
  }
  const secure = await accept(tracked, stream, certificate, chosen);
  if (secure === null) return;
  if (chosen === HTTP2) {
    serveHttp2({ tracked, context, name }, secure, upstream);
    return;
  }
  const agent = new UpstreamAgent(upstream, () =>
    dialTls(tracked, context, keys, name, chosen === null ? [] : [HTTP1]),
  );
  secure.once('close', () => agent.destroy());
  serveHttp1(tracked, context, terminatedRoute({ tracked, context, name }, upstream, agent), secure);
}

/** Reports a failure where the program can read it: in the response to its request. */
function dialOrError(connecting: Promise<TLSSocket>): Promise<TLSSocket | DialError> {
  return connecting.catch((error: unknown) => {
    if (error instanceof DialError) return error;
    throw error;
  });
}

/** Resolves with null if the client does not complete the handshake. */
function accept(
  tracked: TrackedConnection,
  stream: Duplex,
  certificate: SecureContext,
  protocol: string | null,
): Promise<TLSSocket | null> {
  return new Promise((resolve) => {
    const server = createServer({
      SNICallback: (_name, answer) => answer(null, certificate),
      handshakeTimeout: HANDSHAKE_MS,
      ...(protocol !== null && { ALPNProtocols: [protocol] }),
    });
    server.once('secureConnection', (secure) => {
      secure.on('error', () => secure.destroy());
      resolve(secure);
    });
    server.once('tlsClientError', (error) => {
      tracked.recordFailure(`the program ended the handshake with the gateway: ${error.message}`);
      stream.destroy();
      resolve(null);
    });
    stream.once('close', () => resolve(null));
    server.emit('connection', stream);
  });
}

/** Only the name of the certificate is served: a request for another would be evaluated by the wrong name. */
function terminatedRoute(of: TerminatedConnection, upstream: TLSSocket | DialError, agent: Agent): Route {
  const { tracked, name } = of;
  return {
    protocol: 'tls',
    extra: [],
    async target(head) {
      if (upstream instanceof DialError) {
        tracked.recordFailure(upstream.message);
        throw upstream;
      }
      const { host, path } = requestedHost(tracked, 'tls', head);
      checkInnerRequest(of, host);
      return { host, path, server: name, via: { agent, host: name, port: tracked.connection.port } };
    },
  };
}

/** One connection to the server at a time; the first exists already. */
class UpstreamAgent extends Agent {
  #ready: TLSSocket | null;
  readonly #dial: () => Promise<TLSSocket>;

  constructor(ready: TLSSocket | DialError, dial: () => Promise<TLSSocket>) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
    this.#ready = ready instanceof DialError ? null : ready;
    this.#dial = dial;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | undefined {
    const ready = this.#ready;
    this.#ready = null;
    if (ready !== null && !ready.destroyed) return ready;
    this.#dial().then(
      (socket) => callback?.(null, socket),
      (error: unknown) => {
        const failure = error instanceof Error ? error : new Error(String(error));
        // The other arguments are ignored when there is an error.
        callback?.(failure, new PassThrough().destroy());
      },
    );
    return undefined;
  }

  /**
   * A server that sends unsolicited data has miscounted the requests, or counts them differently than the
   * gateway.
   */
  override keepSocketAlive(socket: Duplex): boolean {
    socket.once('data', endUnasked);
    const kept: unknown = super.keepSocketAlive(socket);
    return kept !== false;
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    socket.off('data', endUnasked);
    super.reuseSocket(socket, request);
  }

  override destroy(): void {
    this.#ready?.destroy();
    super.destroy();
  }
}

function endUnasked(this: Duplex): void {
  this.destroy();
}
