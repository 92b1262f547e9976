/** The check that every request inside a terminated connection has to pass. */

import type { GatewayContext } from '../connection/context.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';
import { Refused, recordRefusal } from './request.ts';

/** A connection whose TLS is terminated at the gateway. */
export interface TerminatedConnection {
  readonly tracked: TrackedConnection;
  readonly context: GatewayContext;
  /** The server name of the handshake, normalized. */
  readonly name: string;
}

/** @param host the host that the request names, normalized; null if invalid. Throws `Refused`. */
export function checkInnerRequest(
  { tracked, context, name }: TerminatedConnection,
  host: string | null,
): void {
  if (host !== name) {
    const shown = host ?? 'no host or several hosts';
    throw recordRefusal(tracked, 'tls', [name], `a request for ${shown} on a TLS connection to ${name}`, 421);
  }
  const policy = context.policy();
  const byName = policy.evaluateName(name);
  const decision = byName.allowed ? byName : tracked.evaluateAddress(policy);
  tracked.recordDecision('tls', [name], decision.allowed ? decision : byName);
  if (!decision.allowed) throw new Refused(byName.rule);
}
