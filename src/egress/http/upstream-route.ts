/** Where the plain requests of a connection go. */
import type { RequestOptions } from 'node:http';
import type { GatewayContext } from '../connection/context.ts';
import { addressFor } from '../connection/dial.ts';
import type { Carried } from '../connection/tracked-connection.ts';
import { headerValues, hostName, nameOf, Refused, type RequestHead } from './request.ts';

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
export function plainRoute(carried: Carried, context: GatewayContext): Route {
  const { address: dialled, port } = carried.connection;
  return {
    protocol: 'http',
    extra: ['Connection', 'close'],
    async target(head) {
      const policy = context.policy();
      const direct = carried.direct(policy);
      const shown = hostName(headerValues(head, 'host')[0]?.trim() ?? '');
      if (direct.allowed && (shown === null || !policy.headers.concern(shown))) {
        carried.judged('http', shown === null ? [] : [shown], direct);
        const via = { agent: false, host: dialled, port } as const;
        return { host: null, path: head.url, server: dialled, via };
      }
      const { host, path } = nameOf(carried, 'http', head);
      const byName = policy.judgeName(host);
      const verdict = byName.allowed ? byName : direct;
      carried.judged('http', [host], verdict.allowed ? verdict : byName);
      if (!verdict.allowed) throw new Refused(byName.rule);
      const address = await addressFor(context, host, carried.connection);
      return { host, path, server: address, via: { agent: false, host: address, port } };
    },
  };
}
