/** The connection to a terminal of the platform: bytes in both directions, sizes in, the exit out. */

import { setTimeout as delay } from 'node:timers/promises';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { WebSocket } from 'ws';
import type { ProxySettings } from '../../../config/config.ts';
import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import type { HttpTuning } from '../http/dispatchers.ts';
import { HttpFailure } from '../http/http-failure.ts';
import { brokenConnection, failedStatus } from '../http/parse-failure.ts';

/**
 * Attempts to connect to a server that was just told to listen: across regions that takes seconds, and
 * meanwhile a proxy in front of it responds, with any status. Each wait is twice as long as the previous one.
 */
const ATTEMPTS = 6;
/** Statuses that are about the token, so that a retry cannot help. */
const REFUSALS: readonly (number | null)[] = [400, 401, 403, 410];

/** The platform's frames are a few kilobytes. */
const MAX_FRAME = 16 * 1_048_576;

export interface SocketOptions {
  readonly proxy: ProxySettings;
  readonly tuning: HttpTuning;
  /** True if the API itself is reached without encryption: a stand-in on this machine. */
  readonly plainAllowed: boolean;
}

/**
 * Connects to the URL from the platform, with its token. Nothing runs before the first message, so a failed
 * attempt is repeated: the server may not listen yet.
 *
 * @throws SandboxError `server` for an unsafe URL; HttpFailure if no attempt succeeds
 */
export async function connectShell(
  address: { url: string; token: string },
  options: SocketOptions,
  signal: AbortSignal,
): Promise<WebSocket> {
  const url = new URL(address.url);
  if (url.protocol !== 'wss:' && !(options.plainAllowed && url.protocol === 'ws:')) {
    throw new SandboxError('server', `Vercel returned an insecure URL for the terminal (${url.protocol}//).`);
  }
  url.searchParams.set('token', address.token);
  for (let attempt = 1; ; attempt += 1) {
    throwIfCancelled(signal);
    try {
      return await connectOnce(url, options, signal);
    } catch (error) {
      const refused = error instanceof HttpFailure && REFUSALS.includes(error.facts.status);
      if (refused || attempt >= ATTEMPTS) throw error;
      await pause(options.tuning.retryBaseMs * 2 ** (attempt - 1), signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    throwIfCancelled(signal);
    throw error;
  }
}

function connectOnce(url: URL, { proxy, tuning }: SocketOptions, signal: AbortSignal): Promise<WebSocket> {
  const through = proxyFor(url, proxy);
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: MAX_FRAME,
    handshakeTimeout: tuning.headersMs,
    ...(through !== null && { agent: new HttpsProxyAgent(through) }),
  });
  return new Promise((resolve, reject) => {
    const release = onAbort(signal, () => socket.terminate());
    const settle = (act: () => void) => {
      release();
      act();
    };
    socket.once('open', () => settle(() => resolve(socket)));
    socket.once('unexpected-response', (request, response) => {
      request.destroy();
      settle(() =>
        reject(failedStatus(response.statusCode ?? 500, response.headers['retry-after'] ?? null, '', null)),
      );
    });
    // Also needed after the connection is open: without a listener a broken one would end the process.
    socket.on('error', (error) => settle(() => reject(brokenConnection(error))));
  });
}

/** The proxy for this address; null if there is none, or if it does not apply to this host. */
export function proxyFor(url: URL, { http, https, no }: ProxySettings): string | null {
  const proxy = url.protocol === 'wss:' ? (https ?? http) : http;
  if (proxy === null) return null;
  const host = url.hostname.toLowerCase();
  const port = url.port === '' ? (url.protocol === 'wss:' ? '443' : '80') : url.port;
  const isExcepted = (no ?? '')
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      // A name, or a name and a port, as for every other request.
      const [, name = '', only] = /^(.+?)(?::(\d+))?$/.exec(entry.replace(/^\*?\./, '')) ?? [];
      if (name === '' || (only !== undefined && only !== port)) return false;
      return name === '*' || host === name || host.endsWith(`.${name}`);
    });
  return isExcepted ? null : proxy;
}
