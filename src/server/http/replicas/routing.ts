import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
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
  #secret: string | null = null;

  constructor(directory: SessionDirectory) {
    this.#directory = directory;
  }

  /** Learns the common secret. To be called once, before the first request. */
  async start(): Promise<void> {
    this.#secret = await this.#directory.secret(() => randomBytes(32).toString('base64url'));
  }

  /** Whether another replica has sent this request. */
  isForwarded(request: IncomingMessage): boolean {
    return this.#secret !== null && isForwarded(request, this.#secret);
  }

  /**
   * Finds who serves a request. Null once another replica has answered it. If that one cannot be reached, this
   * waits until it is back, or dead.
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
      if (this.#secret === null || this.isForwarded(request)) return { refused: MOVED };
      if (await forward(request, response, { url: found.servedAt, secret: this.#secret, body })) return null;
      if (performance.now() > until) return { refused: MOVED };
      await delay(PAUSE_MS);
    }
  }
}
