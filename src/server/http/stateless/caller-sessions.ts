import type { Registry, Session, SessionEndReason } from '../../../registry/types.ts';
import type { Clock } from '../../../shared/clock.ts';
import { SessionEnded } from '../../../shared/session-ended.ts';
import { type ServerOptions, ToolCalls } from '../../tool-calls.ts';
import { configOf } from '../principal-folders.ts';
import { PrincipalSession } from './principal-session.ts';

/** Whose request it is, and the conversation it belongs to, if the client says so. */
export interface CallerOf {
  readonly principal: string;
  readonly conversation: string | null;
}

/** What serves the requests of one caller. */
export interface CallerSession {
  readonly calls: ToolCalls;
  readonly options: ServerOptions;
}

const ENDED = ['stopped', 'aborted', 'failed'];

interface Entry extends CallerSession, CallerOf {
  readonly session: Session;
  /** Requests that are not answered yet. */
  open: number;
  idle: ReturnType<Clock['setTimeout']> | null;
}

export interface CallerSessionsOptions extends Omit<ServerOptions, 'session'> {
  registry: Registry;
  clock: Clock;
}

/**
 * The sessions behind stateless requests: one for each principal, and one for each conversation that a client
 * names. They hold what has to outlive a request, such as ownership and running commands. One that was idle
 * and holds no living sandbox is closed; until then nobody can end it, so that its sandboxes end by their own
 * timeout.
 */
export class CallerSessions {
  readonly #options: CallerSessionsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #ending = new Set<Promise<void>>();

  constructor(options: CallerSessionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether this caller may send requests: an unlimited number of conversations could fill the memory. */
  accepts(caller: CallerOf): boolean {
    if (this.#entries.has(keyOf(caller))) return true;
    const { maxSessions, maxPrincipalSessions } = this.#options.config.http;
    if (this.#entries.size >= maxSessions) return false;
    if (caller.conversation === null) return true;
    const named = [...this.#entries.values()].filter(
      ({ principal, conversation }) => principal === caller.principal && conversation !== null,
    );
    return named.length < maxPrincipalSessions;
  }

  /** The session of a caller, which stays until the returned function has been called. */
  use(caller: CallerOf): { session: CallerSession; release: () => void } {
    const key = keyOf(caller);
    const entry = this.#entries.get(key) ?? this.#open(key, caller);
    if (entry.idle !== null) this.#options.clock.clearTimeout(entry.idle);
    entry.idle = null;
    entry.open += 1;
    const release = (): void => {
      entry.open -= 1;
      if (entry.open === 0) this.#waitIdle(key, entry);
    };
    return { session: entry, release };
  }

  /** Cancels all calls and ends all sessions. */
  async close(reason: SessionEndReason): Promise<void> {
    for (const [key, entry] of [...this.#entries]) this.#end(key, entry, reason);
    await Promise.all(this.#ending);
  }

  #open(key: string, { principal, conversation }: CallerOf): Entry {
    const { registry } = this.#options;
    // It may fail, and then there must not be a session yet.
    const config = configOf(this.#options.config, principal);
    const opened = registry.openSession(principal);
    const session = conversation === null ? new PrincipalSession(opened) : opened;
    const options = { ...this.#options, config, session };
    const entry = {
      principal,
      conversation,
      session,
      options,
      calls: new ToolCalls(options),
      open: 0,
      idle: null,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #waitIdle(key: string, entry: Entry): void {
    const { clock, config } = this.#options;
    if (this.#entries.get(key) !== entry) return;
    entry.idle = clock.setTimeout(() => void this.#endIdle(key, entry), config.http.sessionIdleMs);
  }

  async #endIdle(key: string, entry: Entry): Promise<void> {
    const { idle } = entry;
    const holds = await this.#holdsSandboxes(entry);
    // A request may have come meanwhile, created a sandbox and ended: then there is another timer.
    if (entry.open > 0 || entry.idle !== idle || this.#entries.get(key) !== entry) return;
    if (holds) this.#waitIdle(key, entry);
    else this.#end(key, entry, 'idle');
  }

  async #holdsSandboxes({ session }: Entry): Promise<boolean> {
    try {
      const { sandboxes } = await session.info(new AbortController().signal);
      return sandboxes.some(({ status }) => !ENDED.includes(status));
    } catch (error) {
      this.#options.log.warn({ err: error }, 'Could not tell whether an idle session is in use.');
      return true;
    }
  }

  #end(key: string, entry: Entry, reason: SessionEndReason): void {
    this.#entries.delete(key);
    if (entry.idle !== null) this.#options.clock.clearTimeout(entry.idle);
    const ending = Promise.allSettled([entry.calls.end(new SessionEnded()), entry.session.end(reason)]).then(
      (outcomes) => {
        for (const outcome of outcomes)
          if (outcome.status === 'rejected')
            this.#options.log.error({ err: outcome.reason }, 'session did not end cleanly');
      },
    );
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }
}

function keyOf({ principal, conversation }: CallerOf): string {
  return JSON.stringify([principal, conversation]);
}
