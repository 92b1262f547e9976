/**
 * HTTP for registries: proxies, timeouts, redirects, and the addresses that an agent may make the server
 * connect to.
 */
import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { isIP } from 'node:net';
import type { Dispatcher } from 'undici';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { TransientError } from './registry-errors.ts';

export type Answer = Dispatcher.ResponseData;

export interface HttpRequest {
  url: URL;
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
}

const CONNECT_MS = 10_000;
const MAX_REDIRECTS = 5;

/** Null if an address may be reached; else what it is. */
export type ClosedBecause = (address: string) => string | null;

function closed(host: string, what: string): SandboxError {
  return new SandboxError('permission', `${host} has a ${what} address, which images are not fetched from.`, {
    hint: 'The operator can allow the registry with --images.',
    details: { host },
  });
}

type Found = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

/** Resolves names as usual, and fails if one leads to an address that is closed. */
function guardedLookup(closedBecause: ClosedBecause) {
  return (host: string, options: LookupOptions, callback: Found): void => {
    lookup(host, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || first === undefined) return callback(error, []);
      const refused = addresses.map(({ address }) => closedBecause(address)).find((what) => what !== null);
      if (refused !== undefined && refused !== null) return callback(closed(host, refused), []);
      if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function refusalOf(error: unknown): SandboxError | null {
  if (error instanceof SandboxError) return error;
  return error instanceof Error && error.cause !== undefined ? refusalOf(error.cause) : null;
}

export class RegistryHttp {
  readonly #dispatcher: Dispatcher;
  readonly #request: typeof import('undici').request;
  readonly #closedBecause: ClosedBecause | null;

  private constructor(
    dispatcher: Dispatcher,
    request: typeof import('undici').request,
    closedBecause: ClosedBecause | null,
  ) {
    this.#dispatcher = dispatcher;
    this.#request = request;
    this.#closedBecause = closedBecause;
  }

  /**
   * @param closedBecause null: every address may be reached
   * @param idleMs how long no byte may arrive
   */
  static async open(closedBecause: ClosedBecause | null, idleMs: number): Promise<RegistryHttp> {
    // Loaded on demand: most sandboxes need no download.
    const { EnvHttpProxyAgent, request } = await import('undici');
    const guard = closedBecause === null ? {} : { lookup: guardedLookup(closedBecause) };
    const dispatcher = new EnvHttpProxyAgent({
      connect: { timeout: CONNECT_MS, ...guard },
      headersTimeout: idleMs,
      bodyTimeout: idleMs,
    });
    return new RegistryHttp(dispatcher, request, closedBecause);
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  /**
   * Follows redirects; `Authorization` is sent only to the origin that it is meant for. The body must be
   * consumed.
   * @throws TransientError, or `SandboxError` for an address or a redirect that is not allowed, and
   *   `cancelled`
   */
  async send({ url, method = 'GET', headers = {}, body }: HttpRequest, signal: AbortSignal): Promise<Answer> {
    let at = url;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      this.#requireOpen(at);
      const { authorization, ...others } = headers;
      const own =
        at.origin === url.origin && authorization !== undefined ? { ...others, authorization } : others;
      const answer = await this.#once(at, method, own, body, signal);
      const location = answer.headers['location'];
      if (answer.statusCode < 300 || answer.statusCode >= 400 || typeof location !== 'string') return answer;
      await answer.body.dump();
      if (!URL.canParse(location, at.href))
        throw new TransientError(`${at.host} redirects without an address`);
      const next = new URL(location, at);
      if (next.protocol !== 'https:' && next.protocol !== at.protocol) {
        throw new SandboxError('permission', `${at.host} redirects to ${next.protocol}//${next.host}.`, {
          hint: 'A redirect from https must lead to https. The registry is misconfigured.',
        });
      }
      at = next;
    }
    throw new TransientError(`${url.host} redirects more than ${MAX_REDIRECTS} times`);
  }

  async #once(
    url: URL,
    method: 'GET' | 'POST',
    headers: Record<string, string>,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    try {
      const options = { method, headers, dispatcher: this.#dispatcher, signal };
      return await this.#request(url, body === undefined ? options : { ...options, body });
    } catch (error) {
      throwIfCancelled(signal);
      throw refusalOf(error) ?? new TransientError(`${url.host} cannot be reached`, null, error);
    }
  }

  /** A literal address is not looked up. */
  #requireOpen({ hostname }: URL): void {
    const address = hostname.replace(/^\[|\]$/g, '');
    const what = isIP(address) === 0 ? null : (this.#closedBecause?.(address) ?? null);
    if (what !== null) throw closed(hostname, what);
  }
}

/** The body, up to `max` bytes. @throws TransientError */
export async function readBody({ body }: Answer, max: number, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      const part: Uint8Array = chunk;
      bytes += part.length;
      if (bytes > max) throw new TransientError(`an answer has more than ${max} bytes`);
      chunks.push(Buffer.from(part));
    }
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof TransientError) throw error;
    throw new TransientError('the connection broke', null, error);
  }
  return Buffer.concat(chunks);
}
