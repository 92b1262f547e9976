import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import type { Clock, Timer } from '../../../shared/clock.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Replica } from '../../../shared/store/replica.ts';
import { Routing } from './routing.ts';
import { type Claimed, SessionDirectory } from './session-directory.ts';

/** Together with the lease of a replica, a dead one's sessions are taken over in less than 15 s. */
const SCAN_MS = 2_000;
/** Sessions of a dead replica that are taken over at a time. */
const AT_A_TIME = 8;

/** Serves sessions of either kind. */
export interface SessionServer {
  resume(claimed: Claimed): Promise<unknown>;
  leave(options: { isLost: boolean }): Promise<void>;
}

interface Servers {
  /** Of revisions with sessions. */
  readonly sessions: SessionServer;
  /** Of revisions without. */
  readonly callers: () => Promise<SessionServer>;
  readonly openedCallers: () => Promise<SessionServer | undefined>;
}

/** This server as one of several replicas: takes over what dead ones served, and leaves its own to them. */
export class ReplicaService {
  readonly directory: SessionDirectory;
  readonly routing: Routing;
  readonly #replica: Replica;
  readonly #log: Logger;
  readonly #clock: Clock;
  #servers: Servers | null = null;
  #timer: Timer | null = null;
  #scanning: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(replica: Replica, { log, clock }: { log: Logger; clock: Clock }) {
    this.#replica = replica;
    this.#log = log;
    this.#clock = clock;
    this.directory = new SessionDirectory(replica);
    this.routing = new Routing(this.directory, log);
  }

  /** @param url where other replicas reach this one @throws SandboxError `unavailable` */
  async start(url: string, servers: Servers): Promise<void> {
    this.#servers = servers;
    this.#replica.onLost(() => {
      // Others may serve its sessions already.
      this.#leave({ isLost: true }).catch((error: unknown) =>
        this.#log.error({ err: error }, 'cannot leave sessions'),
      );
    });
    await this.routing.start(url);
    await this.#replica.join(url);
    this.#log.info({ replica: this.#replica.id, url }, 'joined the other replicas');
    this.#schedule();
  }

  /** Takes over nothing more, and leaves all sessions to other replicas. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    await this.#scanning;
    await this.#leave({ isLost: false });
    await this.#replica.leave();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#scanning = this.#scan().finally(() => this.#schedule());
    }, SCAN_MS);
  }

  /** Never rejects. */
  async #scan(): Promise<void> {
    try {
      if (!this.#replica.isCurrent()) return;
      await mapConcurrent(await this.directory.orphans(), AT_A_TIME, ({ sessionId }) =>
        this.#takeOver(sessionId),
      );
    } catch (error) {
      this.#log.warn({ err: error }, 'Could not look for the sessions of dead replicas.');
    }
  }

  /** Never rejects: one session must not keep the others from being taken over. */
  async #takeOver(sessionId: string): Promise<void> {
    if (this.#stopped) return;
    try {
      const claimed = await this.directory.claim(sessionId);
      if (claimed === null || 'servedAt' in claimed || this.#servers === null) return;
      const { sessions, callers } = this.#servers;
      const server = claimed.record.http === null ? await callers() : sessions;
      await server.resume(claimed);
      this.#log.info({ session_id: sessionId }, 'Took over a session.');
    } catch (error) {
      this.#log.error({ session_id: sessionId, err: error }, 'Could not take over a session.');
    }
  }

  async #leave(options: { isLost: boolean }): Promise<void> {
    if (this.#servers === null) return;
    const callers = await this.#servers.openedCallers();
    await Promise.all([this.#servers.sessions.leave(options), callers?.leave(options)]);
  }
}
