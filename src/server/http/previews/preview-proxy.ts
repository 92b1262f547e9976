import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { createProxyServer, type ProxyServer, proxyUpgrade } from 'httpxy';
import type { Logger } from '../../../shared/log.ts';
import type { Authenticate, Caller } from '../caller.ts';
import { type Refusal, refuse } from '../reply.ts';
import type { ForwardedHeaders } from './forwarded-headers.ts';
import type { Previews } from './previews.ts';

export interface PreviewProxyOptions {
  previews: Previews;
  forwarded: ForwardedHeaders;
  /** Only the owner of the sandbox may visit, with a token; else everybody who knows the URL. */
  ownerOnly: boolean;
  authenticate: Authenticate;
  /** False if everybody is the same caller, with any token or none. */
  requiresToken: boolean;
  /** The refusal of the owner, if the token does not allow as much as a visit. */
  checkScopes: (caller: Caller) => Refusal | null;
  log: Logger;
}

const NOT_FOUND: Refusal = { status: 404, message: 'There is no such preview, or its sandbox has ended.' };

/** Passes requests and WebSockets for previews on to the programs in the sandboxes. */
export class PreviewProxy {
  readonly #options: PreviewProxyOptions;
  readonly #proxy: ProxyServer;

  constructor(options: PreviewProxyOptions) {
    this.#options = options;
    // Event streams may be silent for longer than any timeout.
    this.#proxy = createProxyServer({ xfwd: false, proxyTimeout: 0 });
  }

  /** Whether a request is for a preview, by its `Host`. */
  concerns(request: IncomingMessage): boolean {
    return this.#options.previews.nameIn(request.headers.host) !== null;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const admitted = await this.#admit(request);
    if ('refused' in admitted) return refuse(response, admitted.refused);
    this.#options.forwarded.set(request);
    try {
      await this.#proxy.web(request, response, { target: admitted.target });
    } catch (error) {
      this.#options.log.debug({ err: error }, 'preview failed');
      refuse(response, { status: 502, message: 'No program answers on this port of the sandbox.' });
      // Once the answer has begun, only the end of the connection tells the client.
      if (!response.writableEnded) response.destroy();
    }
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const admitted = await this.#admit(request);
    if ('refused' in admitted) {
      socket.end(`HTTP/1.1 ${admitted.refused.status} Refused\r\nConnection: close\r\n\r\n`);
      return;
    }
    this.#options.forwarded.set(request);
    try {
      await proxyUpgrade(admitted.target, request, socket, head, { xfwd: false });
    } catch (error) {
      this.#options.log.debug({ err: error }, 'preview failed');
      socket.destroy();
    }
  }

  async #admit(request: IncomingMessage): Promise<{ target: string } | { refused: Refusal }> {
    const { previews, ownerOnly, authenticate, checkScopes } = this.#options;
    const found = previews.find(previews.nameIn(request.headers.host) ?? '');
    if (!ownerOnly) {
      if (found === null) return { refused: NOT_FOUND };
      return (await this.#removeOwnToken(request)) ?? found;
    }
    const authentication = await authenticate(request.headers.authorization);
    if ('refused' in authentication) return authentication;
    const { caller } = authentication;
    const forbidden = checkScopes(caller);
    if (forbidden !== null) return { refused: forbidden };
    if (found === null || found.principal !== caller.principal) return { refused: NOT_FOUND };
    delete request.headers.authorization;
    return found;
  }

  /**
   * The sandbox must not see a token for this server, which some clients send with every request to its port.
   * Other tokens are for the program in the sandbox.
   */
  async #removeOwnToken(request: IncomingMessage): Promise<{ refused: Refusal } | null> {
    const { authorization } = request.headers;
    if (!this.#options.requiresToken || authorization === undefined) return null;
    const authentication = await this.#options.authenticate(authorization);
    if ('caller' in authentication) delete request.headers.authorization;
    // While the issuer's keys are missing, the token may be one for this server.
    else if (authentication.refused.status === 503) return authentication;
    return null;
  }
}
