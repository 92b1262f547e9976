import type {
  CommandHandle,
  CreateRequest,
  CreateWait,
  SandboxHandle,
  SandboxView,
  Session,
  SessionEndReason,
  SessionInfo,
  SessionLimits,
  SessionSnapshots,
  ShellHandle,
} from '../../../registry/types.ts';

type ListQuery = Parameters<Session['list']>[0];

const NEWEST: ListQuery = { limit: 20, since: null, until: null, cursor: null };
const LIVING = ['pending', 'running'];

/**
 * A session for requests that belong to no conversation: the current sandbox is the newest living one of the
 * principal, whoever created it, since such requests cannot select one.
 */
export class PrincipalSession implements Session {
  readonly sessionId: string;
  readonly principal: string;
  readonly limits: SessionLimits;
  readonly snapshots: SessionSnapshots;
  readonly #session: Session;

  constructor(session: Session) {
    this.sessionId = session.sessionId;
    this.principal = session.principal;
    this.limits = session.limits;
    this.snapshots = session.snapshots;
    this.#session = session;
  }

  get created(): number {
    return this.#session.created;
  }

  create(request: CreateRequest, signal: AbortSignal, wait?: CreateWait): Promise<SandboxView> {
    return this.#session.create(request, signal, wait);
  }

  async attach(
    sandboxId: string | undefined,
    signal: AbortSignal,
    options?: { resume?: boolean },
  ): Promise<SandboxView> {
    return this.#session.attach(sandboxId ?? (await this.#newest(signal)), signal, options);
  }

  list(query: ListQuery, signal: AbortSignal): ReturnType<Session['list']> {
    return this.#session.list(query, signal);
  }

  async sandbox(sandboxId: string | undefined): Promise<SandboxHandle> {
    return this.#session.sandbox(sandboxId ?? (await this.#newest(new AbortController().signal)));
  }

  owns(sandboxId: string): Promise<boolean> {
    return this.#session.owns(sandboxId);
  }

  command(commandId: string): Promise<CommandHandle> {
    return this.#session.command(commandId);
  }

  shell(shellId: string): ShellHandle {
    return this.#session.shell(shellId);
  }

  async info(signal: AbortSignal): Promise<SessionInfo> {
    const [info, newest] = await Promise.all([this.#session.info(signal), this.#newest(signal)]);
    return { ...info, currentSandboxId: newest ?? null };
  }

  end(reason: SessionEndReason): Promise<void> {
    return this.#session.end(reason);
  }

  /** Without one, the session says what to do. */
  async #newest(signal: AbortSignal): Promise<string | undefined> {
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<Session['list']>> = await this.#session.list(
        { ...NEWEST, cursor },
        signal,
      );
      const living = page.items.find(({ status }) => LIVING.includes(status));
      if (living !== undefined) return living.sandboxId;
      cursor = page.nextCursor;
    } while (cursor !== null);
    return undefined;
  }
}
