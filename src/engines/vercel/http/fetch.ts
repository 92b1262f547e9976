/**
 * The `fetch` given to the SDK: pooled, through the company's proxy, with timeouts, to the base URL that the
 * operator configured. Retries only what is safe to retry; the SDK's own retries are suppressed here.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fetch as undiciFetch } from 'undici';
import { anySignal } from '../../../shared/async/any-signal.ts';
import type { Logger } from '../../../shared/log.ts';
import type { CredentialSource } from './credential-source.ts';
import type { Credentials } from './credentials.ts';
import type { Dispatchers, HttpTuning } from './dispatchers.ts';
import { HttpFailure } from './http-failure.ts';
import { brokenConnection, failedStatus, invalidBody } from './parse-failure.ts';
import { isRepeatable, mayBeSilent, mayTakeLong } from './retry-policy.ts';
import type { UnknownPolicyParts } from './unknown-policy-parts.ts';

/** The default base URL of the SDK's requests. */
export const SDK_BASE_URL = 'https://vercel.com/api';

/** Bodies that are streamed. */
const STREAMED = /^application\/(x-ndjson|octet-stream)/;
/** Success without a body; a `Response` of this status cannot be constructed with one. */
const NO_BODY = [204, 205];
/** A response of this API is a page of a list at most. */
const MAX_JSON_BYTES = 16 * 1_048_576;

export interface FetchOptions {
  /** Instead of `SDK_BASE_URL`; without a trailing slash. */
  readonly baseUrl: string | null;
  /** Asked for every request; throws if there are no valid credentials. */
  readonly credentials: CredentialSource;
  readonly dispatchers: Dispatchers;
  /** Called with each response. */
  readonly unknownParts: UnknownPolicyParts;
  readonly tuning: HttpTuning;
  readonly log: Logger;
}

interface Request {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly token: string;
  readonly body: string | Uint8Array | null;
  readonly signal: AbortSignal | null;
  readonly variable: Credentials['variable'];
}

/** @throws HttpFailure, or the signal's abort reason; from the returned function */
export function createFetch(options: FetchOptions): typeof globalThis.fetch {
  return async (input, init) => {
    let request = await readRequest(input, init, options);
    let renewed = false;
    const repeatable = isRepeatable(request.method, request.url.pathname);
    const { attempts } = options.tuning;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await once(request, options);
      } catch (error) {
        request.signal?.throwIfAborted();
        // The SDK retries after every other error, whatever the platform has done.
        if (!(error instanceof HttpFailure)) throw unforeseen(error);
        if (
          !renewed &&
          isTokenRefused(error) &&
          (await options.credentials.renewAfterRefusal(request.token))
        ) {
          // A refused token means that nothing was done, whatever the request was.
          renewed = true;
          request = await readRequest(input, init, options);
          continue;
        }
        const wait = repeatable && attempt < attempts ? pause(error, attempt, options.tuning) : null;
        if (wait === null) throw error;
        const { status, kind } = error.facts;
        options.log.debug({ path: request.url.pathname, status, kind, attempt }, 'retrying a request');
        await delay(wait, undefined, request.signal === null ? {} : { signal: request.signal });
      }
    }
  };
}

function isTokenRefused({ facts }: HttpFailure): boolean {
  return facts.status === 401 || (facts.status === 403 && facts.invalidToken);
}

/** A failure on this side, with the request in flight or carried out. */
function unforeseen(error: unknown): HttpFailure {
  const text = `a response that cannot be processed (${error instanceof Error ? error.message : String(error)})`;
  const said = { status: null, platformCode: null, retryAfterMs: null, invalidToken: false, variable: null };
  return new HttpFailure({ ...said, kind: 'malformed', outcome: 'unknown', text }, error);
}

/** Refusals that call for the same request again: sent too slowly, or too often. */
const LATER = [408, 429];

/** How long to wait before the next attempt; null if another attempt would fail alike. */
function pause(failure: HttpFailure, attempt: number, tuning: HttpTuning): number | null {
  const { kind, status, retryAfterMs } = failure.facts;
  if (kind === 'status' && status !== null && status < 500 && !LATER.includes(status)) return null;
  if (retryAfterMs !== null) return retryAfterMs <= tuning.maxRetryAfterMs ? retryAfterMs : null;
  const base = tuning.retryBaseMs * 4 ** (attempt - 1);
  return base * (0.75 + Math.random() / 2);
}

async function readRequest(
  input: Parameters<typeof globalThis.fetch>[0],
  init: RequestInit | undefined,
  { baseUrl, credentials }: FetchOptions,
): Promise<Request> {
  const requested = typeof input === 'string' ? input : input instanceof URL ? input.href : input.url;
  if (!requested.startsWith(`${SDK_BASE_URL}/`))
    throw new TypeError('The SDK requested a URL outside the API.');
  const headers = new Headers(init?.headers);
  // The SDK never gets the token: it would exchange one of its kind for another from the environment.
  const { token, variable } = await credentials.current();
  headers.set('authorization', `Bearer ${token}`);
  return {
    method: (init?.method ?? 'GET').toUpperCase(),
    url: new URL(`${baseUrl ?? SDK_BASE_URL}${requested.slice(SDK_BASE_URL.length)}`),
    headers,
    token,
    body: bodyOf(init?.body),
    signal: init?.signal ?? null,
    variable,
  };
}

function bodyOf(body: RequestInit['body']): string | Uint8Array | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string' || body instanceof Uint8Array) return body;
  throw new TypeError('The SDK sent a body that cannot be sent again in a retry.');
}

async function once(request: Request, { dispatchers, unknownParts }: FetchOptions): Promise<Response> {
  const { method, url, headers, body, signal, variable } = request;
  const long = mayTakeLong(method, url);
  let answer: Awaited<ReturnType<typeof undiciFetch>>;
  try {
    answer = await undiciFetch(url, {
      method,
      headers: [...headers],
      body,
      // A separate signal: a caller's may be one that the library does not accept, and lives longer.
      signal: signal === null ? null : anySignal([signal]),
      redirect: 'error',
      dispatcher: dispatchers.for({ long, silent: mayBeSilent(url.pathname) }),
    });
  } catch (error) {
    throw brokenConnection(error);
  }
  const [type = ''] = (answer.headers.get('content-type') ?? '').toLowerCase().split(';');
  const head = { status: answer.status, headers: new Headers([...answer.headers]) };
  if (answer.ok && STREAMED.test(type)) {
    // The SDK accepts only the bare type; a server or proxy may append the encoding.
    head.headers.set('content-type', type.trim());
    return new Response(answer.body === null ? null : streamOf(answer.body), head);
  }
  let text: string;
  try {
    text = await readText(answer.body);
  } catch (error) {
    throw brokenConnection(error);
  }
  if (!answer.ok) throw failedStatus(answer.status, answer.headers.get('retry-after'), text, variable);
  const json = jsonObject(text);
  if (json === null) throw invalidBody(answer.status, text);
  unknownParts.note(json);
  return new Response(NO_BODY.includes(answer.status) ? null : text, head);
}

/** Null for anything else; an empty text counts as an empty object. */
function jsonObject(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

async function readText(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  if (body === null) return '';
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > MAX_JSON_BYTES) throw invalidBody(200, 'too long');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The same bytes as a stream that Node's own `Response` accepts, with backpressure. */
function streamOf(body: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const parts = body[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await parts.next();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        controller.error(brokenConnection(error));
      }
    },
    async cancel() {
      await parts.return?.();
    },
  });
}
