import { systemClock } from '../clock.ts';
import type { Logger } from '../log.ts';
import { FilesStore } from './files-store.ts';
import { Replica } from './replica.ts';
import type { Store } from './store.ts';

/** What replicas share their state in. */
export type StoreAddress =
  | { readonly kind: 'files'; readonly directory: string }
  /** `redis:` or `rediss:`; may hold a password. */
  | { readonly kind: 'redis'; readonly url: string };

/** This process as one of several replicas, which has not joined the others yet. @throws SandboxError `unavailable` */
export async function openReplica(address: StoreAddress, log: Logger): Promise<Replica> {
  return new Replica({ store: await openStore(address, log), log, clock: systemClock });
}

async function openStore(address: StoreAddress, log: Logger): Promise<Store> {
  if (address.kind === 'files') return new FilesStore(address.directory);
  const { RedisStore } = await import('./redis-store.ts');
  return RedisStore.open(address.url, log);
}
