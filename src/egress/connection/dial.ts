/** Connects to the outside: to addresses that this process resolved and the policy was asked about, never to a name. */
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { systemErrorCode } from '../../shared/errors.ts';
import { parseAddress } from '../policy/ip-ranges.ts';
import type { Verdict } from '../policy/policy.ts';
import type { Dial, GatewayContext, Redirected } from './context.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** A connection that was not made: refused by a rule, or failed on the way. */
export class NotDialled extends Error {
  readonly refusal: Verdict | null;
  constructor(message: string, refusal: Verdict | null, cause?: unknown) {
    super(message, { cause });
    this.refusal = refusal;
  }
}

/** Connects a program's connection to an address that was judged already. Rejects with `NotDialled`. */
export async function dialThrough(connection: Redirected, address: string, how: Dial): Promise<void> {
  const gaveUp = new AbortController();
  const late = wait(CONNECT_TIMEOUT_MS, 'ETIMEDOUT', { signal: gaveUp.signal }).catch(() => null);
  const code = await Promise.race([connection.dial(address, connection.port, how), late]);
  gaveUp.abort();
  if (code !== null) throw new NotDialled(`${address}:${connection.port} cannot be reached: ${code}`, null);
}

/** Connects this process to an address that was judged already. Rejects with `NotDialled`. */
export function dialAddress(address: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const fail = (error: unknown) => {
      socket.destroy();
      const code = systemErrorCode(error) ?? 'ETIMEDOUT';
      reject(new NotDialled(`${address}:${port} cannot be reached: ${code}`, null, error));
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
 * The address to dial for a name that the policy allows: where the program wanted to go if the name leads there, else
 * the name's first that may be dialled. Rejects with `NotDialled`.
 */
export async function addressFor(
  context: GatewayContext,
  name: string,
  wanted: { address: string; port: number },
): Promise<string> {
  let addresses: readonly string[];
  try {
    ({ addresses } = await context.names.resolve(name));
  } catch (error) {
    throw new NotDialled(`${name} cannot be resolved`, null, error);
  }
  const ordered = addresses.includes(wanted.address) ? [wanted.address, ...addresses] : addresses;
  let refusal: Verdict | null = null;
  for (const text of ordered) {
    const address = parseAddress(text);
    if (address === null) continue;
    const verdict = context.policy().judge([name], address, wanted.port);
    if (verdict.allowed) return text;
    refusal ??= verdict;
  }
  throw new NotDialled(refusal?.rule ?? `${name} has no address`, refusal);
}
