/** Connection pools for Vercel's API, through the company proxy if there is one. */
import { type Dispatcher, EnvHttpProxyAgent } from 'undici';
import type { ProxySettings } from '../../../config/config.ts';

/** Times in milliseconds. */
export interface HttpTuning {
  readonly connectMs: number;
  /** Until the head of an ordinary response. */
  readonly headersMs: number;
  /**
   * Until the head of a response that legitimately takes long; more than the 5 minutes after which the
   * platform cuts.
   */
  readonly longHeadersMs: number;
  /** Between two pieces of an ordinary body. */
  readonly bodyMs: number;
  /** Between two pieces of a command's output; more than the 5 minutes after which the platform cuts. */
  readonly silentMs: number;
  /** Before the first retry; each further one waits four times as long. */
  readonly retryBaseMs: number;
  /** The longest `Retry-After` to wait for. */
  readonly maxRetryAfterMs: number;
  /** Total attempts for a request that may be retried. */
  readonly attempts: number;
  /** Polling interval for a state that is about to change. */
  readonly pollMs: number;
  /** How long placing written files may take between one file and the next. */
  readonly placeSilentMs: number;
  /** How long a request whose response was lost may take to show an effect. */
  readonly effectMs: number;
  /** The lifetime that is requested from the platform at a time. */
  readonly leaseMs: number;
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
  placeSilentMs: 60_000,
  effectMs: 5_000,
  leaseMs: 300_000,
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
        // Passed in full, so that the library does not read the environment itself.
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
