import { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import { type Store, storeUnavailable } from './store.ts';

const PREFIX = 'sandbox-mcp:';
const CONNECT_MS = 5_000;
/** A command that takes longer has failed; its change may have been made. */
const COMMAND_MS = 5_000;
/** How long a command waits for the connection. */
const RECONNECT_MS = 3_000;
const LONGEST_PAUSE_MS = 1_000;

/** Compares and replaces a field of a hash. Arguments: field, before, after; an empty flag stands for none. */
const SWAP = `local present = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '' then if present then return 0 end
elseif present ~= ARGV[3] then return 0 end
if ARGV[4] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[5]) end
return 1`;

const HOLD = `local present = redis.call('GET', KEYS[1])
if present and present ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`;

/** A store in Redis, or what speaks its protocol: each collection is a hash, each lease a key that expires. */
export class RedisStore implements Store {
  readonly #client: Redis;

  private constructor(client: Redis) {
    this.#client = client;
    // Any number of commands may wait for the connection.
    client.setMaxListeners(0);
  }

  /** @throws SandboxError `unavailable` if the server cannot be reached now; later it is tried again */
  static async open(url: string, log: Logger): Promise<RedisStore> {
    let wasConnected = false;
    const client = new Redis(url, {
      lazyConnect: true,
      connectTimeout: CONNECT_MS,
      commandTimeout: COMMAND_MS,
      // A connection without answers is replaced.
      socketTimeout: COMMAND_MS,
      maxRetriesPerRequest: null,
      // It would send commands whose callers have given up, and keep all of them until then.
      enableOfflineQueue: false,
      // A change whose answer was lost may have been made, and would then be refused.
      autoResendUnfulfilledCommands: false,
      // The start fails at once; later, commands wait for the connection.
      retryStrategy: (times) => (wasConnected ? Math.min(LONGEST_PAUSE_MS, 50 * 2 ** times) : null),
    });
    client.on('error', (error) => log.warn({ err: error }, 'The connection to the store failed.'));
    client.once('ready', () => {
      wasConnected = true;
    });
    try {
      await client.connect();
    } catch (error) {
      client.disconnect();
      throw storeUnavailable(error);
    }
    return new RedisStore(client);
  }

  read(collection: string, id: string): Promise<string | null> {
    return this.#run(() => this.#client.hget(PREFIX + collection, id));
  }

  async all(collection: string): Promise<Map<string, string>> {
    return new Map(Object.entries(await this.#run(() => this.#client.hgetall(PREFIX + collection))));
  }

  ids(collection: string): Promise<string[]> {
    return this.#run(() => this.#client.hkeys(PREFIX + collection));
  }

  swap(collection: string, id: string, before: string | null, after: string | null): Promise<boolean> {
    return this.#script(SWAP, PREFIX + collection, [id, ...optional(before), ...optional(after)]);
  }

  async drop(collection: string): Promise<void> {
    await this.#run(() => this.#client.del(PREFIX + collection));
  }

  hold(lease: string, holder: string, ms: number): Promise<boolean> {
    return this.#script(HOLD, leaseKey(lease), [holder, String(ms)]);
  }

  holder(lease: string): Promise<string | null> {
    return this.#run(() => this.#client.get(leaseKey(lease)));
  }

  async release(lease: string, holder: string): Promise<void> {
    await this.#script(RELEASE, leaseKey(lease), [holder]);
  }

  async close(): Promise<void> {
    this.#client.disconnect();
  }

  async #script(script: string, key: string, args: string[]): Promise<boolean> {
    return (await this.#run(() => this.#client.eval(script, 1, key, ...args))) === 1;
  }

  async #run<Reply>(send: () => Promise<Reply>): Promise<Reply> {
    try {
      if (this.#client.status !== 'ready') await this.#connected();
      return await send();
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  #connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      const onReady = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#client.off('ready', onReady);
        reject(new Error('There is no connection.'));
      }, RECONNECT_MS);
      this.#client.once('ready', onReady);
    });
  }
}

function leaseKey(lease: string): string {
  return `${PREFIX}lease:${lease}`;
}

/** As two arguments of a script, which has no null. */
function optional(text: string | null): [string, string] {
  return text === null ? ['', ''] : ['1', text];
}
