import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../../shared/log.ts';
import type { Refusal } from '../reply.ts';
import { forward, isForwarded } from './forward.ts';
import type { SessionDirectory } from './session-directory.ts';

/** How long a request waits for a replica that is not reached to be dead, so that this one takes over. */
const TAKE_OVER_MS = 20_000;
const PAUSE_MS = 250;

const MOVED: Refusal = {
  status: 503,
  message: 'The session is moving to another replica; try again.',
  headers: { 'retry-after': '1' },
};

/** Sends requests to the replicas that serve their sessions. */
export class Routing {
  readonly #directory: SessionDirectory;
  readonly #log: Logger;
  #secret: string | null = null;
  #url: string | null = null;

  constructor(directory: SessionDirectory, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Learns the common secret. To be called once, before the first request. `url`: where others reach this one. */
  async start(url: string): Promise<void> {
    this.#url = url;
    this.#secret = await this.#directory.secret(() => randomBytes(32).toString('base64url'));
  }

  /** Whether another replica has sent this request. */
  isForwarded(request: IncomingMessage): boolean {
    return this.#secret !== null && isForwarded(request, this.#secret);
  }

  /**
   * Finds who serves a request. Null once another replica has answered it, or the client has gone. If that one
   * cannot be reached, this waits until it is back, or dead.
   *
   * @param body as it was received; null if there is none
   */
  async find<Here extends object>(
    request: IncomingMessage,
    response: ServerResponse,
    body: string | null,
    locate: () => Promise<Here | { servedAt: string }>,
  ): Promise<Here | { refused: Refusal } | null> {
    const until = performance.now() + TAKE_OVER_MS;
    for (;;) {
      const found = await locate();
      if (!('servedAt' in found)) return found;
      const { servedAt: url } = found;
      // Another one had the same address before, and its lease has not run out yet.
      if (url !== this.#url) {
        if (this.#secret === null || this.isForwarded(request)) return { refused: MOVED };
        const failure = await forward(request, response, { url, secret: this.#secret, body });
        if (failure === null) return null;
        this.#log.debug({ url, err: failure }, 'a replica was not reached');
      }
      if (response.destroyed) return null;
      if (performance.now() > until) {
        this.#log.warn({ url }, 'A replica that serves a session could not be reached.');
        return { refused: MOVED };
      }
      await delay(PAUSE_MS);
    }
  }
}
