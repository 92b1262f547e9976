/** Connects to unix sockets, whatever the length of their path and of their queue. */
import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';

/** sun_path of unix(7) has 108 bytes including the NUL. */
const MAX_SOCKET_PATH = 107;
/**
 * Between two attempts to connect to a listener that has not accepted enough of the earlier ones. It grows: a
 * thousand connections to a port may wait, and one that stays full must not keep this process busy.
 */
const [QUEUE_PAUSE_MS, MAX_QUEUE_PAUSE_MS] = [10, 320];

function connectPath(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/**
 * Connects to a unix socket, also if its path exceeds the system's limit. Rejects with the system's error.
 */
async function connectUnixSocket(path: string): Promise<Socket> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return connectPath(path);
  const directory = await open(dirname(path), 'r');
  try {
    return await connectPath(`/proc/self/fd/${directory.fd}/${basename(path)}`);
  } finally {
    await directory.close();
  }
}

/**
 * The same, and waits while the listener's queue is full (`EAGAIN`), as many calls at once can make it. Throws
 * `unavailable` if it is still full at the end, `cancelled` if the signal has fired.
 */
export async function connectInTurn(
  path: string,
  signal: AbortSignal | null,
  limitMs: number,
): Promise<Socket> {
  const until = performance.now() + limitMs;
  for (let pauseMs = QUEUE_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_QUEUE_PAUSE_MS)) {
    try {
      return await connectUnixSocket(path);
    } catch (error) {
      if (systemErrorCode(error) !== 'EAGAIN') throw error;
      if (signal?.aborted) throw new SandboxError('cancelled', 'The call was cancelled.');
      if (performance.now() >= until)
        throw new SandboxError('unavailable', 'The sandbox’s agent accepts no more connections.', {
          hint: 'Call again in a moment; stop the sandbox if it keeps failing.',
          cause: error,
        });
    }
    // An abort ends the pause, and the next attempt reports it.
    await delay(pauseMs, undefined, signal === null ? {} : { signal }).catch(() => {});
  }
}
