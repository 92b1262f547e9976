/**
 * The `fetch` that is handed to the SDK: pooled, through the company's proxy, with time-outs, to whatever base URL the
 * operator names, and with repeats of what is safe to repeat alone. What the SDK would repeat by itself ends here.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fetch as undiciFetch } from 'undici';
import { anySignal } from '../../../shared/async/any-signal.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Credentials } from './credentials.ts';
import type { Dispatchers, HttpTuning } from './dispatchers.ts';
import { HttpFailure } from './http-failure.ts';
import { brokenConnection, failedStatus, invalidBody } from './parse-failure.ts';
import { isRepeatable, mayBeSilent, mayTakeLong } from './retry-policy.ts';

/** Where the SDK sends its requests unless it is told otherwise. */
export const SDK_BASE_URL = 'https://vercel.com/api';

/** Bodies that are handed on as they come. */
const STREAMED = /^application\/(x-ndjson|octet-stream)/;
/** Success without a body; a `Response` of this status that is given one cannot be made. */
const NO_BODY = [204, 205];
/** An answer of this API is a page of a list at most. */
const MAX_JSON_BYTES = 16 * 1_048_576;

export interface FetchOptions {
  /** Instead of `SDK_BASE_URL`; without a slash at its end. */
  readonly baseUrl: string | null;
  /** Asked anew for every request; throws where there are none that are valid. */
  readonly credentials: () => Credentials;
  readonly dispatchers: Dispatchers;
  readonly tuning: HttpTuning;
  readonly log: Logger;
}

interface Request {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: string | Uint8Array | null;
  readonly signal: AbortSignal | null;
  readonly variable: Credentials['variable'];
}

/** @throws HttpFailure, or what the signal was aborted with; from the function that is answered */
export function createFetch(options: FetchOptions): typeof globalThis.fetch {
  return async (input, init) => {
    const request = await readRequest(input, init, options);
    const repeatable = isRepeatable(request.method, request.url.pathname);
    const { attempts } = options.tuning;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await once(request, options);
      } catch (error) {
        request.signal?.throwIfAborted();
        // The SDK repeats after every other error, whatever the platform has done.
        if (!(error instanceof HttpFailure)) throw unforeseen(error);
        const wait = repeatable && attempt < attempts ? pause(error, attempt, options.tuning) : null;
        if (wait === null) throw error;
        const { status, kind } = error.facts;
        options.log.debug({ path: request.url.pathname, status, kind, attempt }, 'a request is repeated');
        await delay(wait, undefined, request.signal === null ? {} : { signal: request.signal });
      }
    }
  };
}

/** What broke on this side, with the request on its way or carried out. */
function unforeseen(error: unknown): HttpFailure {
  const text = `an answer that cannot be handed on (${error instanceof Error ? error.message : String(error)})`;
  const said = { status: null, platformCode: null, retryAfterMs: null, invalidToken: false, variable: null };
  return new HttpFailure({ ...said, kind: 'malformed', outcome: 'unknown', text }, error);
}

/** Refusals that ask for the same request again: sent too slowly, or too often. */
const LATER = [408, 429];

/** How long to wait before the next try; null where another try would be the same. */
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
    throw new TypeError('The SDK asked for an address of no API.');
  const headers = new Headers(init?.headers);
  // The SDK never gets the token: it would trade one of its kind for another one of the environment.
  const { token, variable } = credentials();
  headers.set('authorization', `Bearer ${token}`);
  return {
    method: (init?.method ?? 'GET').toUpperCase(),
    url: new URL(`${baseUrl ?? SDK_BASE_URL}${requested.slice(SDK_BASE_URL.length)}`),
    headers,
    body: bodyOf(init?.body),
    signal: init?.signal ?? null,
    variable,
  };
}

function bodyOf(body: RequestInit['body']): string | Uint8Array | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string' || body instanceof Uint8Array) return body;
  throw new TypeError('The SDK sent a body of a kind that cannot be sent twice.');
}

async function once(request: Request, { dispatchers }: FetchOptions): Promise<Response> {
  const { method, url, headers, body, signal, variable } = request;
  const long = mayTakeLong(method, url);
  let answer: Awaited<ReturnType<typeof undiciFetch>>;
  try {
    answer = await undiciFetch(url, {
      method,
      headers: [...headers],
      body,
      // One of its own: a caller's may be set up in a way that the library does not take, and lives longer.
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
    // The SDK takes the bare type alone; a server or proxy on the way may name the encoding behind it.
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
  if (!isJsonObject(text)) throw invalidBody(answer.status, text);
  return new Response(NO_BODY.includes(answer.status) ? null : text, head);
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
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

/** The same bytes as a stream of the kind that Node's own `Response` takes; read no faster than it is read from. */
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
