/** What every request inside a terminated connection is judged by. */

import type { GatewayContext } from '../connection/context.ts';
import type { Carried } from '../connection/tracked-connection.ts';
import { Refused, refuseBy } from './request.ts';

/** A connection whose TLS ends at the gateway. */
export interface Terminated {
  readonly carried: Carried;
  readonly context: GatewayContext;
  /** The server name of the handshake, normalized. */
  readonly name: string;
}

/** @param host what the request names, normalized; null for anything odd. Throws `Refused`. */
export function judgeInside({ carried, context, name }: Terminated, host: string | null): void {
  if (host !== name) {
    const shown = host ?? 'no host, or several,';
    throw refuseBy(carried, 'tls', [name], `a request for ${shown} on a TLS connection to ${name}`, 421);
  }
  const policy = context.policy();
  const byName = policy.judgeName(name);
  const verdict = byName.allowed ? byName : carried.direct(policy);
  carried.judged('tls', [name], verdict.allowed ? verdict : byName);
  if (!verdict.allowed) throw new Refused(byName.rule);
}
