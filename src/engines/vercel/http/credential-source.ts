/**
 * The credentials in use. An OIDC token lasts hours, so one that expires is read again from where it came
 * from.
 */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { parseEnv, promisify } from 'node:util';
import type { VercelEnvironment } from '../../../config/config.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import { type Credentials, credentialsOf } from './credentials.ts';

const VARIABLE = 'VERCEL_OIDC_TOKEN';
/** A token that expires sooner is renewed first: a request may take minutes. */
const EARLY_MS = 5 * 60_000;
/** The pause after a renewal that found no newer token, so that not every request tries again. */
const PAUSE_MS = 5_000;
const COMMAND_MS = 30_000;
const MAX_OUTPUT_BYTES = 1_048_576;

export class CredentialSource {
  readonly #environment: VercelEnvironment;
  readonly #log: Logger;
  #current: Credentials | null;
  #renewal: Promise<void> | null = null;
  #pausedUntil = 0;
  /** Why the last renewal found no token; null if it did. */
  #problem: string | null = null;

  constructor(environment: VercelEnvironment, log: Logger) {
    this.#environment = environment;
    this.#log = log;
    this.#current = given(environment);
  }

  /** @throws SandboxError `auth` if there are no valid credentials, saying what renews them */
  async current(): Promise<Credentials> {
    const now = Date.now();
    if (!lasts(this.#current, now + EARLY_MS) && this.#canRenew() && now >= this.#pausedUntil)
      await this.#renew();
    const oidcToken =
      this.#current?.variable === VARIABLE ? this.#current.token : this.#environment.oidcToken;
    try {
      return credentialsOf({ ...this.#environment, oidcToken });
    } catch (error) {
      if (!(error instanceof SandboxError) || this.#problem === null) throw error;
      const { code, message, hint, details } = error;
      throw new SandboxError(code, `${message} ${this.#problem}`, { hint, details });
    }
  }

  /** After the platform refused a token: true if there is another one now. */
  async renewAfterRefusal(refused: string): Promise<boolean> {
    if (!this.#canRenew()) return false;
    if (this.#current?.token === refused) await this.#renew();
    return this.#current !== null && this.#current.token !== refused;
  }

  #canRenew(): boolean {
    const { oidcToken, tokenFile, tokenCommand, envFile } = this.#environment;
    return tokenFile !== null || tokenCommand !== null || (oidcToken !== null && envFile !== null);
  }

  /** One renewal at a time, whoever asks. Never rejects. */
  #renew(): Promise<void> {
    this.#renewal ??= this.#read().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #read(): Promise<void> {
    const { tokenFile, tokenCommand, envFile } = this.#environment;
    const origin =
      tokenFile !== null
        ? `VERCEL_OIDC_TOKEN_FILE (${tokenFile})`
        : tokenCommand !== null
          ? 'VERCEL_OIDC_TOKEN_COMMAND'
          : String(envFile);
    try {
      const text = tokenCommand !== null && tokenFile === null ? await outputOf(tokenCommand) : null;
      const oidcToken = tokenIn(text ?? (await readFile(tokenFile ?? envFile ?? '', 'utf8')));
      if (oidcToken === null) throw new Error('it holds no token');
      const renewed = credentialsOf({ ...this.#environment, oidcToken });
      if (renewed.token === this.#current?.token) throw new Error('it holds the same token as before');
      this.#requireSameProject(renewed);
      this.#current = renewed;
      this.#problem = null;
      this.#log.info({ origin, expires_at: renewed.expiresAt }, 'renewed the OIDC token');
    } catch (error) {
      this.#pausedUntil = Date.now() + PAUSE_MS;
      this.#problem = `${origin} was read again: ${error instanceof Error ? error.message : String(error)}.`;
      this.#log.warn({ origin, err: error }, 'the OIDC token could not be renewed');
    }
  }

  /**
   * Others may write into the folder that the server works in: their token must not move sandboxes, with what
   * runs in them, into another project.
   */
  #requireSameProject({ teamId, projectId }: Credentials): void {
    const first = this.#current;
    if (first === null || (first.teamId === teamId && first.projectId === projectId)) return;
    throw new Error(
      `its token is for project ${projectId} of team ${teamId}, not for ${first.projectId} of ${first.teamId}`,
    );
  }
}

/**
 * The credentials of the environment, expired or not; null if there are none, or if they are read from
 * elsewhere.
 */
function given(environment: VercelEnvironment): Credentials | null {
  const { oidcToken, tokenFile, tokenCommand } = environment;
  if (oidcToken === null && (tokenFile !== null || tokenCommand !== null)) return null;
  try {
    return credentialsOf(environment, 0);
  } catch {
    // `current` says what is wrong.
    return null;
  }
}

function lasts(credentials: Credentials | null, until: number): boolean {
  return credentials !== null && (credentials.expiresAt === null || credentials.expiresAt > until);
}

/** The token in a text: the text itself, or its line `VERCEL_OIDC_TOKEN=…` as `vercel env pull` writes it. */
function tokenIn(text: string): string | null {
  const bare = text.trim();
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(bare) ? bare : parseEnv(text)[VARIABLE] || null;
}

/** The operator's own command line, run by the system's shell. */
async function outputOf(command: string): Promise<string> {
  const [shell, flag] = process.platform === 'win32' ? ['cmd.exe', '/c'] : ['/bin/sh', '-c'];
  const limits = { timeout: COMMAND_MS, maxBuffer: MAX_OUTPUT_BYTES };
  return (await promisify(execFile)(shell, [flag, command], limits)).stdout;
}
