/** The pools of connections to Vercel's API, and the company proxy on the way. */
import { type Dispatcher, EnvHttpProxyAgent } from 'undici';

/** `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as the environment has them; null where not set. */
export interface ProxySettings {
  readonly http: string | null;
  readonly https: string | null;
  readonly no: string | null;
}

/** Times in milliseconds. */
export interface HttpTuning {
  readonly connectMs: number;
  /** Until the head of an ordinary answer. */
  readonly headersMs: number;
  /** Until the head of an answer that rightly takes long; past the 5 minutes after which the platform cuts. */
  readonly longHeadersMs: number;
  /** Between two pieces of an ordinary body. */
  readonly bodyMs: number;
  /** Between two pieces of a command's output; past the 5 minutes after which the platform cuts. */
  readonly silentMs: number;
  /** Before the first repeat; each next one waits four times as long. */
  readonly retryBaseMs: number;
  /** The longest `Retry-After` that is waited for. */
  readonly maxRetryAfterMs: number;
  /** Tries in all of what may be repeated. */
  readonly attempts: number;
  /** How often a state is asked for that is about to change. */
  readonly pollMs: number;
  /** How long a request whose answer was lost is given to show an effect. */
  readonly effectMs: number;
}

export const DEFAULT_TUNING: HttpTuning = {
  connectMs: 10_000,
  headersMs: 30_000,
  longHeadersMs: 330_000,
  bodyMs: 60_000,
  silentMs: 330_000,
  retryBaseMs: 250,
  maxRetryAfterMs: 20_000,
  attempts: 3,
  pollMs: 500,
  effectMs: 5_000,
};

export interface Dispatchers {
  /** The pool for a request of this kind. */
  for(kind: { long: boolean; silent: boolean }): Dispatcher;
  close(): Promise<void>;
}

/** Pools that connect when they are first used. */
export function openDispatchers(proxy: ProxySettings, tuning: HttpTuning): Dispatchers {
  const made = new Map<string, EnvHttpProxyAgent>();
  return {
    for({ long, silent }) {
      const key = `${long} ${silent}`;
      const known = made.get(key);
      if (known !== undefined) return known;
      const agent = new EnvHttpProxyAgent({
        // Given whole, so that the library does not look into the environment itself.
        httpProxy: proxy.http ?? '',
        httpsProxy: proxy.https ?? proxy.http ?? '',
        noProxy: proxy.no ?? '',
        connect: { timeout: tuning.connectMs },
        headersTimeout: long ? tuning.longHeadersMs : tuning.headersMs,
        bodyTimeout: silent ? tuning.silentMs : tuning.bodyMs,
      });
      made.set(key, agent);
      return agent;
    },
    async close() {
      await Promise.all([...made.values()].map((agent) => agent.destroy()));
    },
  };
}
