import type { Config } from '../../../config/config.ts';
import type { Logger } from '../../../shared/log.ts';
import { isLoopback } from '../../../shared/network/loopback.ts';

/**
 * Where other replicas reach this one, which listens at `url`. Warns of an address that only this machine reaches
 * while the store is on another.
 */
export function replicaAddress(
  { replicaUrl, host, store }: Pick<Config['http'], 'replicaUrl' | 'host' | 'store'>,
  url: string,
  log: Logger,
): string {
  if (replicaUrl !== null) return replicaUrl;
  const isStoreRemote = store?.kind === 'redis' && !isLoopback(hostOf(store.url));
  if (isStoreRemote && isLoopback(host))
    log.warn(
      { url },
      'Replicas on other machines cannot reach this one at its address; set --host or --replica-url.',
    );
  return url;
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
}
