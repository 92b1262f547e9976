/** A client of one registry for one repository (OCI distribution specification). */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { throwIfCancelled } from '../../shared/errors.ts';
import { authorize } from './authorization.ts';
import { type Credentials, findCredentials } from './credentials.ts';
import { type Answer, type ClosedBecause, RegistryHttp, readBody } from './http.ts';
import { fullReference, type ImageReference } from './reference.ts';
import { refusedWith, TransientError, unreachable, untrustworthy } from './registry-errors.ts';
import { endpointsOf, type RegistryOptions } from './registry-options.ts';

const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const MAX_MANIFEST_BYTES = 4_194_304;
const ATTEMPTS = 4;
const MAX_PAUSE_MS = 10_000;

export interface Manifest {
  mediaType: string | undefined;
  digest: string;
  bytes: Buffer;
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Opened for one pull. Must be closed. */
export class RegistryClient {
  readonly #reference: ImageReference;
  readonly #http: RegistryHttp;
  readonly #credentials: Credentials | null;
  readonly #endpoints: readonly URL[];
  readonly #retryPauseMs: number;
  /** `Authorization` by endpoint, once a challenge has been answered. */
  readonly #authorization = new Map<string, string>();

  private constructor(
    reference: ImageReference,
    http: RegistryHttp,
    credentials: Credentials | null,
    endpoints: readonly URL[],
    retryPauseMs: number,
  ) {
    this.#reference = reference;
    this.#http = http;
    this.#credentials = credentials;
    this.#endpoints = endpoints;
    this.#retryPauseMs = retryPauseMs;
  }

  /** @param closedBecause the addresses that must not be reached; null: none */
  static async open(
    reference: ImageReference,
    options: RegistryOptions,
    closedBecause: ClosedBecause | null,
  ): Promise<RegistryClient> {
    const credentials = await findCredentials(options.credentialFiles, reference);
    const http = await RegistryHttp.open(closedBecause, options.idleMs);
    const endpoints = endpointsOf(reference.registry, options);
    return new RegistryClient(reference, http, credentials, endpoints, options.retryPauseMs);
  }

  /** For messages. */
  get what(): string {
    return `image ${fullReference(this.#reference)}`;
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  /** @param wanted a tag or a digest */
  async manifest(wanted: string, signal: AbortSignal): Promise<Manifest> {
    return this.#anyEndpoint(
      `manifests/${wanted}`,
      signal,
      async (answer) => {
        const bytes = await readBody(answer, MAX_MANIFEST_BYTES, signal);
        const digest = sha256(bytes);
        const claimed = answer.headers['docker-content-digest'];
        if (wanted.startsWith('sha256:') && wanted !== digest) {
          throw untrustworthy(this.what, `the manifest ${wanted} has the digest ${digest}`);
        }
        if (typeof claimed === 'string' && claimed.startsWith('sha256:') && claimed !== digest) {
          throw untrustworthy(
            this.what,
            `the registry names its manifest ${claimed}, but it has the digest ${digest}`,
          );
        }
        const type = answer.headers['content-type'];
        return { mediaType: typeof type === 'string' ? type.split(';')[0] : undefined, digest, bytes };
      },
      { accept: MANIFEST_TYPES.join(', ') },
    );
  }

  /**
   * Requests a blob from its byte `from` on; `read` gets the answer, 200 or 206, and has to consume its body.
   */
  async blob<T>(
    digest: string,
    from: () => number,
    read: (answer: Answer) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    return this.#anyEndpoint(`blobs/${digest}`, signal, read, {}, from);
  }

  /** Tries the mirrors, then the registry itself; its failure is the one that counts. */
  async #anyEndpoint<T>(
    path: string,
    signal: AbortSignal,
    read: (answer: Answer) => Promise<T>,
    headers: Record<string, string>,
    from?: () => number,
  ): Promise<T> {
    const own = this.#endpoints.at(-1);
    for (const endpoint of this.#endpoints) {
      try {
        return await this.#withRetries(endpoint, path, signal, read, headers, from);
      } catch (error) {
        throwIfCancelled(signal);
        if (endpoint === own) throw error;
      }
    }
    throw new Error('a registry without an address');
  }

  async #withRetries<T>(
    endpoint: URL,
    path: string,
    signal: AbortSignal,
    read: (answer: Answer) => Promise<T>,
    headers: Record<string, string>,
    from?: () => number,
  ): Promise<T> {
    let failures = 0;
    let reached = from?.() ?? 0;
    for (;;) {
      try {
        const start = from?.() ?? 0;
        const range: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
        return await read(await this.#request(endpoint, path, { ...headers, ...range }, signal));
      } catch (error) {
        throwIfCancelled(signal);
        if (!(error instanceof TransientError)) throw error;
        // An interrupted download that made progress may continue.
        const now = from?.() ?? 0;
        failures = now > reached ? 1 : failures + 1;
        reached = Math.max(reached, now);
        if (failures >= ATTEMPTS) throw unreachable(this.what, endpoint.host, error);
        const pause = error.retryAfterMs ?? this.#retryPauseMs * 4 ** (failures - 1);
        await delay(Math.min(pause, MAX_PAUSE_MS), undefined, { signal }).catch(() =>
          throwIfCancelled(signal),
        );
      }
    }
  }

  /** @throws TransientError for a server's own failures, SandboxError for its refusals */
  async #request(
    endpoint: URL,
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { registry, repository } = this.#reference;
    const url = new URL(`v2/${repository}/${path}`, endpoint);
    const send = () => {
      const authorization = this.#authorization.get(endpoint.href);
      return this.#http.send(
        { url, headers: authorization ? { ...headers, authorization } : headers },
        signal,
      );
    };
    let answer = await send();
    if (answer.statusCode === 401) {
      await answer.body.dump();
      const request = {
        registry,
        repository,
        what: this.what,
        credentials: this.#credentialsFor(endpoint),
        secure: endpoint.protocol === 'https:',
      };
      const authorization = await authorize(this.#http, answer, request, signal);
      if (authorization === null) throw refusedWith(401, this.what, registry);
      this.#authorization.set(endpoint.href, authorization);
      answer = await send();
    }
    const { statusCode } = answer;
    if (statusCode === 200 || statusCode === 206) return answer;
    await answer.body.dump();
    if (statusCode >= 500 || statusCode === 408) {
      throw new TransientError(`HTTP ${statusCode}`, retryAfter(answer));
    }
    throw refusedWith(statusCode, this.what, endpoint.host);
  }

  /** Credentials belong to the registry: a mirror gets none. */
  #credentialsFor(endpoint: URL): Credentials | null {
    return endpoint === this.#endpoints.at(-1) ? this.#credentials : null;
  }
}

/** `Retry-After` in seconds (RFC 9110); dates are not used by registries. */
function retryAfter({ headers }: Answer): number | null {
  const value = headers['retry-after'];
  return typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) * 1_000 : null;
}
