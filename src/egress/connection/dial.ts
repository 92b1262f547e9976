/**
 * Opens outside connections, only to addresses that this process resolved and the policy allows, never to a
 * name.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { systemErrorCode } from '../../shared/errors.ts';
import { parseAddress } from '../policy/ip-ranges.ts';
import type { Decision } from '../policy/policy.ts';
import type { DialMode, GatewayContext, RedirectedConnection } from './context.ts';

const CONNECT_TIMEOUT_MS = 30_000;

/** A connection that was not made: refused by a rule, or failed. */
export class DialError extends Error {
  readonly refusal: Decision | null;
  constructor(message: string, refusal: Decision | null, cause?: unknown) {
    super(message, { cause });
    this.refusal = refusal;
  }
}

/** Connects a program's connection to an address that the policy allows. Rejects with `NotDialled`. */
export async function dialThrough(
  connection: RedirectedConnection,
  address: string,
  how: DialMode,
): Promise<void> {
  const gaveUp = new AbortController();
  const late = wait(CONNECT_TIMEOUT_MS, 'ETIMEDOUT', { signal: gaveUp.signal }).catch(() => null);
  const code = await Promise.race([connection.dial(address, connection.port, how), late]);
  gaveUp.abort();
  if (code !== null) throw new DialError(`${address}:${connection.port} cannot be reached: ${code}`, null);
}

/** Connects this process to an address that the policy allows. Rejects with `NotDialled`. */
export function dialAddress(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const fail = (error: unknown) => {
      socket.destroy();
      const code = systemErrorCode(error) ?? 'ETIMEDOUT';
      reject(new DialError(`${address}:${port} cannot be reached: ${code}`, null, error));
    };
    const timer = setTimeout(fail, CONNECT_TIMEOUT_MS, null);
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      resolve(socket);
    });
    socket.once('close', () => clearTimeout(timer));
  });
}

/**
 * The address to dial for a name that the policy allows: the program's own destination if the name resolves
 * to it, else the first address of the name that may be dialled. Rejects with `NotDialled`.
 */
export async function chooseAddress(
  context: GatewayContext,
  name: string,
  requested: { address: string; port: number },
): Promise<string> {
  let addresses: readonly string[];
  try {
    ({ addresses } = await context.names.resolve(name));
  } catch (error) {
    throw new DialError(`${name} cannot be resolved`, null, error);
  }
  const ordered = addresses.includes(requested.address) ? [requested.address, ...addresses] : addresses;
  let refusal: Decision | null = null;
  for (const text of ordered) {
    const address = parseAddress(text);
    if (address === null) continue;
    const decision = context.policy().evaluate([name], address, requested.port);
    if (decision.allowed) return text;
    refusal ??= decision;
  }
  throw new DialError(refusal?.rule ?? `${name} has no address`, refusal);
}
