import type {
  MovableSession,
  Registry,
  Session,
  SessionEndReason,
  SessionOptions,
} from '../../../registry/types.ts';
import type { Clock } from '../../../shared/clock.ts';
import { namedSessionId } from '../../../shared/ids.ts';
import { SessionEnded, SessionMoved } from '../../../shared/session-ended.ts';
import { type ServerOptions, ToolCalls } from '../../tool-calls.ts';
import { configOf } from '../principal-folders.ts';
import type { Claimed, SessionDirectory } from '../replicas/session-directory.ts';
import type { SessionHold } from '../replicas/session-hold.ts';
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
  /** The same session, with its own idea of what is current. */
  readonly opened: MovableSession;
  /** Null if no other replica can serve it. */
  readonly hold: SessionHold | null;
  /** Requests that are not answered yet. */
  open: number;
  idle: ReturnType<Clock['setTimeout']> | null;
}

export interface CallerSessionsOptions extends Omit<ServerOptions, 'session'> {
  registry: Registry;
  clock: Clock;
  /** Null if no other replica serves the same callers. */
  directory?: SessionDirectory | null;
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
  readonly #endingOf = new Map<string, Promise<void>>();
  readonly #resuming = new Map<string, Promise<void>>();

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
    const entry = this.#entries.get(key) ?? this.#open(key, caller, null);
    if (entry.idle !== null) this.#options.clock.clearTimeout(entry.idle);
    entry.idle = null;
    entry.open += 1;
    const release = (): void => {
      entry.open -= 1;
      if (entry.open === 0) this.#waitIdle(key, entry);
    };
    return { session: entry, release };
  }

  /**
   * Takes the session of a caller to this replica unless another one serves it, whose URL is returned then. To be
   * called before `use`.
   */
  async locate(caller: CallerOf): Promise<{ isHere: true } | { servedAt: string }> {
    const { directory = null } = this.#options;
    const key = keyOf(caller);
    if (directory === null) return { isHere: true };
    const { principal, conversation } = caller;
    const session = { sessionId: namedSessionId(key), principal, conversation, http: null };
    for (;;) {
      directory.requireCurrent();
      await this.#resuming.get(key);
      if (this.#entries.has(key)) return { isHere: true };
      // Until it has ended the directory has it, and it must not be continued.
      await this.#endingOf.get(key);
      const state = { created: 0, currentSandboxId: null };
      const claimed = (await directory.add(session, state)) ?? (await directory.claim(session.sessionId));
      if (claimed === null) continue;
      if ('servedAt' in claimed) return claimed;
      if (keyOf(claimed.record) !== key) throw new Error('The id of the session is another caller’s.');
      // One that another replica was ending is ended then, and the next round adds a new one.
      await this.resume(claimed);
    }
  }

  /** Continues a session that another replica served. One that it was ending is ended. */
  async resume(claimed: Claimed): Promise<void> {
    const { principal, conversation } = claimed.record;
    const caller = { principal, conversation };
    const key = keyOf(caller);
    const resuming = this.#resuming.get(key) ?? this.#resume(key, caller, claimed);
    this.#resuming.set(key, resuming);
    try {
      await resuming;
    } finally {
      this.#resuming.delete(key);
    }
  }

  async #resume(key: string, caller: CallerOf, claimed: Claimed): Promise<void> {
    const present = this.#entries.get(key);
    // Another request has resumed it meanwhile.
    if (present?.hold?.epoch === claimed.hold.epoch) return;
    if (present !== undefined) this.#leave(key, present, { isLost: true });
    const entry = this.#open(key, caller, claimed);
    try {
      await entry.opened.resume();
    } catch (error) {
      this.#leave(key, entry, { isLost: false });
      throw error;
    }
    if (claimed.record.isEnding) this.#end(key, entry, 'idle');
    else this.#waitIdle(key, entry);
  }

  /** Leaves all sessions to other replicas. `isLost`: another one has them already. */
  async leave(options: { isLost: boolean }): Promise<void> {
    for (const [key, entry] of [...this.#entries]) this.#leave(key, entry, options);
    await Promise.all(this.#ending);
  }

  /** Cancels all calls and ends all sessions. */
  async close(reason: SessionEndReason): Promise<void> {
    for (const [key, entry] of [...this.#entries]) this.#end(key, entry, reason);
    await Promise.all(this.#ending);
  }

  #open(key: string, { principal, conversation }: CallerOf, claimed: Claimed | null): Entry {
    const { registry } = this.#options;
    // It may fail, and then there must not be a session yet.
    const config = configOf(this.#options.config, principal);
    const opened = registry.openSession(principal, claimed === null ? {} : this.#shared(claimed));
    const session = conversation === null ? new PrincipalSession(opened) : opened;
    const options = { ...this.#options, config, session };
    const entry = {
      principal,
      conversation,
      session,
      opened,
      hold: claimed?.hold ?? null,
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

  /** The state of the session, and where its changes are stored. */
  #shared({ record, hold }: Claimed): SessionOptions {
    const { log } = this.#options;
    return {
      state: record,
      onChange: (state) =>
        hold.remember(state, (error) => log.warn({ err: error }, 'Could not store the state of a session.')),
    };
  }

  #leave(key: string, entry: Entry, { isLost }: { isLost: boolean }): void {
    this.#finish(key, entry, new SessionMoved(), async () => {
      await entry.opened.leave();
      if (!isLost) await entry.hold?.release();
    });
  }

  #end(key: string, entry: Entry, reason: SessionEndReason): void {
    const { hold, opened } = entry;
    this.#finish(key, entry, new SessionEnded(), async () => {
      // Another replica may have it.
      if (hold !== null && !(await hold.beginEnd())) return opened.leave();
      await opened.end(reason);
      await hold?.remove();
    });
  }

  /** `reason` is why its calls end. */
  #finish(key: string, entry: Entry, reason: SessionEnded, endSession: () => Promise<void>): void {
    this.#entries.delete(key);
    if (entry.idle !== null) this.#options.clock.clearTimeout(entry.idle);
    const ending = Promise.allSettled([entry.calls.end(reason), endSession()]).then((outcomes) => {
      for (const outcome of outcomes)
        if (outcome.status === 'rejected')
          this.#options.log.error({ err: outcome.reason }, 'session did not end cleanly');
    });
    this.#ending.add(ending);
    this.#endingOf.set(key, ending);
    void ending.finally(() => {
      this.#ending.delete(ending);
      if (this.#endingOf.get(key) === ending) this.#endingOf.delete(key);
    });
  }
}

function keyOf({ principal, conversation }: CallerOf): string {
  return JSON.stringify([principal, conversation]);
}
