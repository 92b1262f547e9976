import { createClient } from '@redis/client';
import type { Logger } from '../log.ts';
import { type Store, storeUnavailable } from './store.ts';

const PREFIX = 'sandbox-mcp:';
const CONNECT_MS = 5_000;
/** A command that takes longer has failed; its change may have been made. */
const COMMAND_MS = 5_000;
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
  readonly #client: ReturnType<typeof connectable>;

  private constructor(client: ReturnType<typeof connectable>) {
    this.#client = client;
  }

  /** @throws SandboxError `unavailable` if the server cannot be reached now; later it is tried again */
  static async open(url: string, log: Logger): Promise<RedisStore> {
    const client = connectable(url);
    client.on('error', (error: unknown) => log.warn({ err: error }, 'The connection to the store failed.'));
    try {
      await client.connect();
    } catch (error) {
      client.destroy();
      throw storeUnavailable(error);
    }
    return new RedisStore(client);
  }

  read(collection: string, id: string): Promise<string | null> {
    return this.#run((client) => client.hGet(PREFIX + collection, id));
  }

  async all(collection: string): Promise<Map<string, string>> {
    return new Map(Object.entries(await this.#run((client) => client.hGetAll(PREFIX + collection))));
  }

  ids(collection: string): Promise<string[]> {
    return this.#run((client) => client.hKeys(PREFIX + collection));
  }

  swap(collection: string, id: string, before: string | null, after: string | null): Promise<boolean> {
    return this.#script(SWAP, PREFIX + collection, [id, ...optional(before), ...optional(after)]);
  }

  async drop(collection: string): Promise<void> {
    await this.#run((client) => client.del(PREFIX + collection));
  }

  hold(lease: string, holder: string, ms: number): Promise<boolean> {
    return this.#script(HOLD, leaseKey(lease), [holder, String(ms)]);
  }

  holder(lease: string): Promise<string | null> {
    return this.#run((client) => client.get(leaseKey(lease)));
  }

  async release(lease: string, holder: string): Promise<void> {
    await this.#script(RELEASE, leaseKey(lease), [holder]);
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  async #script(script: string, key: string, args: string[]): Promise<boolean> {
    return (await this.#run((client) => client.eval(script, { keys: [key], arguments: args }))) === 1;
  }

  async #run<Reply>(command: (client: ReturnType<typeof connectable>) => Promise<Reply>): Promise<Reply> {
    try {
      return await command(this.#client);
    } catch (error) {
      throw storeUnavailable(error);
    }
  }
}

function connectable(url: string) {
  let wasConnected = false;
  const client = createClient({
    url,
    RESP: 2,
    commandOptions: { timeout: COMMAND_MS },
    socket: {
      connectTimeout: CONNECT_MS,
      // The start fails at once; later, commands wait for the connection as long as they may take.
      reconnectStrategy: (retries: number, cause: Error) =>
        wasConnected ? Math.min(LONGEST_PAUSE_MS, 50 * 2 ** retries) : cause,
    },
  });
  client.once('ready', () => {
    wasConnected = true;
  });
  return client;
}

function leaseKey(lease: string): string {
  return `${PREFIX}lease:${lease}`;
}

/** As two arguments of a script, which has no null. */
function optional(text: string | null): [string, string] {
  return text === null ? ['', ''] : ['1', text];
}
