/** Where the plain requests of a connection go. */
import type { IncomingMessage, RequestOptions } from 'node:http';
import type { Carried } from './carried.ts';
import type { GatewayContext } from './context.ts';
import { addressFor } from './dial.ts';
import { hostName, nameOf, Refused } from './http-request.ts';
import type { Verdict } from './policy.ts';

/** Where a request goes, and on what. */
export interface Target {
  /** Normalized; null where the request goes to an address by itself. */
  readonly host: string | null;
  readonly path: string;
  /** For words: who did not answer. */
  readonly server: string;
  /** Where the connection to it comes from. */
  readonly via: Pick<RequestOptions, 'agent' | 'host' | 'port'>;
}

/** How the requests of a connection find their servers. */
export interface Route {
  readonly protocol: 'http' | 'tls';
  /** Judges a request. Throws `Refused`, or `NotDialled`. */
  target(incoming: IncomingMessage): Promise<Target>;
  /** Headers about the connection to the server. */
  readonly extra: readonly string[];
}

/**
 * Each request goes to where its host is found, on a connection of its own.
 * @param direct the verdict on the address by itself: where that is allowed, only hosts that rules concern are looked up
 */
export function plainRoute(carried: Carried, context: GatewayContext, direct: Verdict): Route {
  const { address: dialled, port } = carried.connection;
  return {
    protocol: 'http',
    extra: ['Connection', 'close'],
    async target(incoming) {
      const policy = context.policy();
      const shown = hostName(incoming.headers.host ?? '');
      if (direct.allowed && (shown === null || !policy.headers.concern(shown))) {
        carried.judged('http', shown === null ? [] : [shown], direct);
        const via = { agent: false, host: dialled, port } as const;
        return { host: null, path: incoming.url ?? '/', server: dialled, via };
      }
      const { host, path } = nameOf(carried, 'http', incoming);
      const byName = policy.judgeName(host);
      const verdict = byName.allowed ? byName : direct;
      carried.judged('http', [host], verdict.allowed ? verdict : byName);
      if (!verdict.allowed) throw new Refused(byName.rule);
      const address = await addressFor(context, host, carried.connection);
      return { host, path, server: address, via: { agent: false, host: address, port } };
    },
  };
}
