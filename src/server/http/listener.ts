import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';

/** The first may already be half over, and the others are for the requests of what was accepted last. */
const QUIET_TURNS = 3;
/** Connections may keep coming. */
const ACCEPT_MS = 1_000;

/** @throws `unavailable` if the address cannot be used */
export async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = systemErrorCode(error) ?? 'unknown error';
    throw new SandboxError('unavailable', `Cannot listen on ${host}, port ${port} (${code}).`, {
      hint: 'Choose another address with --host and --port, or stop the program that uses this one.',
      cause: error,
    });
  }
}

export function urlOf(host: string, address: AddressInfo | string | null): string {
  const port = typeof address === 'object' ? address?.port : null;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Stops listening, and closes connections without a request. The kernel has completed connections that this process
 * has not accepted yet, and would reset them: they are accepted first, and their requests answered.
 */
export async function stopAccepting(server: Server): Promise<void> {
  const until = performance.now() + ACCEPT_MS;
  let quiet = 0;
  const onConnection = (): void => {
    quiet = 0;
  };
  server.on('connection', onConnection);
  while (quiet < QUIET_TURNS && performance.now() < until) {
    quiet += 1;
    await nextTurn();
  }
  server.off('connection', onConnection);
  server.close();
}
