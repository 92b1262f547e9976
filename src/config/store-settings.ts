/** What several replicas of the server share. */
import { resolve } from 'node:path';
import type { StoreAddress } from '../shared/store/open-store.ts';
import type { FlagName } from './flags.ts';
import { baseUrl } from './http-url.ts';
import { ConfigError, type Setting } from './setting.ts';

export interface ServerSources {
  /** The last value given, or the default. */
  value(name: FlagName): Setting;
  given(name: FlagName): Setting | undefined;
  all(name: FlagName): readonly Setting[];
  readonly cwd: string | null;
  /** False for stdio, which needs no credentials and does not read their file. */
  readonly serves: boolean;
}

const WILDCARDS = ['0.0.0.0', '::', '[::]'];

/** Null without `--store`. @throws ConfigError for an engine or a flag that works on one machine alone */
export function storeAddress({ given, value, cwd, all, serves }: ServerSources): StoreAddress | null {
  const store = given('store');
  if (store === undefined) return null;
  const engine = value('engine');
  if (engine.value !== 'vercel')
    throw new ConfigError(engine, 'has sandboxes on one machine; --store needs --engine vercel.');
  const [folder] = serves ? all('allow-dir') : [];
  if (folder !== undefined)
    throw new ConfigError(folder, 'is a folder of one machine; it cannot be used together with --store.');
  if (!/^[a-z]+:/i.test(store.value)) return { kind: 'files', directory: resolve(cwd ?? '/', store.value) };
  const isRedis = URL.canParse(store.value) && /^rediss?:$/.test(new URL(store.value).protocol);
  if (isRedis) return { kind: 'redis', url: store.value };
  // The value may hold a password.
  throw new ConfigError(
    { origin: store.origin, value: null },
    'is not valid; use redis://host:6379/0, rediss://… or a directory.',
  );
}

/** @throws ConfigError if others cannot reach the address that the server listens on */
export function replicaUrl({ given, value, serves }: ServerSources): string | null {
  const url = given('replica-url');
  if (url !== undefined) return baseUrl(url);
  const host = value('host');
  if (serves && given('store') !== undefined && WILDCARDS.includes(host.value))
    throw new ConfigError(host, 'is not an address that other replicas reach; set --replica-url.');
  return null;
}
