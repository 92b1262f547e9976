/** Where a connection's plain requests are sent. */
import type { RequestOptions } from 'node:http';
import type { GatewayContext } from '../connection/context.ts';
import { chooseAddress } from '../connection/dial.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';
import { headerValues, hostName, Refused, type RequestHead, requestedHost } from './request.ts';

/** Where a request is sent, and over which connection. */
export interface Target {
  /** Normalized; null if the request is sent to an address without a name. */
  readonly host: string | null;
  readonly path: string;
  /** For messages: which server did not respond. If `protocol` is `http`, the address. */
  readonly server: string;
  /** The connection that it is sent on. */
  readonly via: Pick<RequestOptions, 'agent' | 'host' | 'port'>;
}

/** How the requests of a connection find their servers. */
export interface Route {
  readonly protocol: 'http' | 'tls';
  /** Evaluates a request. Throws `Refused`, or `NotDialled`. */
  target(head: RequestHead): Promise<Target>;
  /** Headers about the connection to the server. */
  readonly extra: readonly string[];
}

/**
 * Sends each request to an address of its host, on a connection of its own; if the address itself is allowed,
 * only hosts with rules are looked up.
 */
export function plainRoute(tracked: TrackedConnection, context: GatewayContext): Route {
  const { address: dialled, port } = tracked.connection;
  return {
    protocol: 'http',
    extra: ['Connection', 'close'],
    async target(head) {
      const policy = context.policy();
      const direct = tracked.evaluateAddress(policy);
      const shown = hostName(headerValues(head, 'host')[0]?.trim() ?? '');
      if (direct.allowed && (shown === null || !policy.headers.appliesTo(shown))) {
        tracked.recordDecision('http', shown === null ? [] : [shown], direct);
        const via = { agent: false, host: dialled, port } as const;
        return { host: null, path: head.url, server: dialled, via };
      }
      const { host, path } = requestedHost(tracked, 'http', head);
      const byName = policy.evaluateName(host);
      const decision = byName.allowed ? byName : direct;
      tracked.recordDecision('http', [host], decision.allowed ? decision : byName);
      if (!decision.allowed) throw new Refused(byName.rule);
      const address = await chooseAddress(context, host, tracked.connection);
      return { host, path, server: address, via: { agent: false, host: address, port } };
    },
  };
}
