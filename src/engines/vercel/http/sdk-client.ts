/** The SDK, bound to the credentials and the `fetch` of this engine. */
import { Sandbox, type Session, Snapshot } from '@vercel/sandbox';
import type { CredentialSource } from './credential-source.ts';
import type { Credentials } from './credentials.ts';
import type { UnknownPolicyParts } from './unknown-policy-parts.ts';

/** A placeholder for the token; `fetch` inserts the real one, which never passes through the SDK. */
const NO_TOKEN = 'set-by-fetch';
/** How many sandboxes' sessions are cached; more than one server works in at a time. */
const MAX_SESSIONS = 500;

export type CreateParams = NonNullable<Parameters<typeof Sandbox.create>[0]>;

export class SdkClient {
  readonly #fetch: typeof globalThis.fetch;
  readonly #credentials: CredentialSource;
  /** Of the policies of sessions. */
  readonly unknownParts: UnknownPolicyParts;
  readonly #sessions = new Map<string, Session>();

  constructor(
    fetch: typeof globalThis.fetch,
    credentials: CredentialSource,
    unknownParts: UnknownPolicyParts,
  ) {
    this.#fetch = fetch;
    this.unknownParts = unknownParts;
    this.#credentials = credentials;
  }

  /** @throws SandboxError `auth` if there are no valid credentials */
  credentials(): Promise<Credentials> {
    return this.#credentials.current();
  }

  async create(params: CreateParams, signal: AbortSignal): Promise<Sandbox> {
    return this.#remember(await Sandbox.create({ ...params, ...(await this.#auth()), signal }));
  }

  /** Only reads: a stopped sandbox stays stopped. */
  async get(name: string, signal: AbortSignal): Promise<Sandbox> {
    return this.#remember(await Sandbox.get({ ...(await this.#auth()), name, resume: false, signal }));
  }

  /** Starts a stopped sandbox again. */
  async resume(name: string, signal: AbortSignal): Promise<Session> {
    const sandbox = await Sandbox.get({ ...(await this.#auth()), name, resume: true, signal });
    return this.#remember(sandbox).currentSession();
  }

  /**
   * The session to work in. Its own calls go straight to the platform: those of the sandbox would restart a
   * stopped one and repeat the call.
   */
  async session(name: string, signal: AbortSignal): Promise<Session> {
    return this.#sessions.get(name) ?? (await this.get(name, signal)).currentSession();
  }

  /** The session if it is cached: then it costs no request. */
  known(name: string): Session | null {
    return this.#sessions.get(name) ?? null;
  }

  /** A page as the platform returns it, newest first. */
  async list(limit: number, cursor: string | null, signal: AbortSignal) {
    const at = cursor === null ? {} : { cursor };
    return Sandbox.list({
      ...(await this.#auth()),
      sortBy: 'createdAt',
      sortOrder: 'desc',
      limit,
      ...at,
      signal,
    });
  }

  async snapshot(snapshotId: string, signal: AbortSignal): Promise<Snapshot> {
    return Snapshot.get({ ...(await this.#auth()), snapshotId, signal });
  }

  /** A page as the platform returns it, newest first. */
  async snapshots(limit: number, cursor: string | null, signal: AbortSignal) {
    const at = cursor === null ? {} : { cursor };
    return Snapshot.list({ ...(await this.#auth()), sortOrder: 'desc', limit, ...at, signal });
  }

  /** Drops a session that has ended from the cache. */
  forget(name: string): void {
    this.#sessions.delete(name);
  }

  #remember(sandbox: Sandbox): Sandbox {
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.clear();
    this.#sessions.set(sandbox.name, sandbox.currentSession());
    return sandbox;
  }

  async #auth() {
    const { teamId, projectId } = await this.#credentials.current();
    return { token: NO_TOKEN, teamId, projectId, fetch: this.#fetch };
  }
}
