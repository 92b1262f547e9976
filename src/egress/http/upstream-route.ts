/** Where the plain requests of a connection go. */
import type { RequestOptions } from 'node:http';
import type { GatewayContext } from '../connection/context.ts';
import { chooseAddress } from '../connection/dial.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';
import { headerValues, hostName, Refused, type RequestHead, requestedHost } from './request.ts';

/** Where a request goes, and on what. */
export interface Target {
  /** Normalized; null where the request goes to an address by itself. */
  readonly host: string | null;
  readonly path: string;
  /** For words: who did not answer. Where `protocol` is `http`, the address. */
  readonly server: string;
  /** Where the connection to it comes from. */
  readonly via: Pick<RequestOptions, 'agent' | 'host' | 'port'>;
}

/** How the requests of a connection find their servers. */
export interface Route {
  readonly protocol: 'http' | 'tls';
  /** Judges a request. Throws `Refused`, or `NotDialled`. */
  target(head: RequestHead): Promise<Target>;
  /** Headers about the connection to the server. */
  readonly extra: readonly string[];
}

/**
 * Each request goes to where its host is found, on a connection of its own; where the address is allowed by itself, only
 * hosts that rules concern are looked up.
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
