/**
 * The gateway of one sandbox in this process: policy decisions, the relay that holds the connections, the log
 * on disk.
 */
import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import type { NetworkActivity } from '../../../egress/connection/connection-log.ts';
import type { TlsKeyProvider } from '../../../egress/connection/tls-trust.ts';
import { Gateway } from '../../../egress/gateway.ts';
import type { Lookup, RecordLookup } from '../../../egress/policy/name-cache.ts';
import type { Policy } from '../../../egress/policy/policy.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import type { Logger } from '../../../shared/log.ts';
import { GATEWAY_MARK } from '../state/state-layout.ts';
import { EgressLog, readEgressLog } from './egress-log.ts';
import { type RelayLocation, RelayProcess } from './relay-process.ts';

/**
 * A relay that keeps dying must not keep the server busy: after this many restarts the sandbox has no
 * network.
 */
const MAX_RESTARTS = 100;

export interface EgressGatewayOptions {
  readonly place: RelayLocation;
  readonly policy: Policy;
  readonly lookup: Lookup;
  readonly lookupRecords: RecordLookup;
  readonly refuseEch: boolean;
  readonly maxBytes: number | null;
  /** Null for a sandbox whose programs do not trust the gateway's CA. */
  readonly tls: TlsKeyProvider | null;
  readonly log: Logger;
  /** Nothing listens any more: the process that replaced this gateway has exited, or the relay has died. */
  readonly freed: () => void;
  /** The sandbox's record may have changed. */
  readonly changed: () => void;
}

export class EgressGateway {
  readonly #options: EgressGatewayOptions;
  readonly #gateway: Gateway;
  readonly #record: EgressLog;
  readonly #watcher: FSWatcher;
  #relay: RelayProcess | null = null;
  #restarts = 0;
  #closed = false;

  private constructor(options: EgressGatewayOptions, gateway: Gateway, record: EgressLog) {
    this.#options = options;
    this.#gateway = gateway;
    this.#record = record;
    this.#watcher = watch(options.place.dir, { persistent: false }, (_event, name) => {
      if (name === 'record.json') options.changed();
      if (name === GATEWAY_MARK) this.#checkMark();
    });
    this.#watcher.on('error', () => this.#watcher.close());
  }

  /** Starts the gateway: from now on it handles the sandbox's outbound traffic. */
  static async open(options: EgressGatewayOptions): Promise<EgressGateway> {
    const { place, policy, lookup, lookupRecords, refuseEch, maxBytes, tls, log } = options;
    const gateway: Gateway = new Gateway({
      policy,
      lookup,
      lookupRecords,
      refuseEch,
      maxBytes,
      tls,
      previous: await readEgressLog(place.dir),
      onEntry: (entry) => {
        record.add(entry);
        log.debug({ connection: entry }, 'a connection of a sandbox was closed');
      },
      onDefect: (error) => log.error({ err: error }, 'cannot relay a connection of a sandbox'),
    });
    const record: EgressLog = new EgressLog(
      place.dir,
      () => gateway.totals(),
      (error) => log.warn({ err: error }, 'cannot log a connection of a sandbox'),
    );
    const opened = new EgressGateway(options, gateway, record);
    try {
      await opened.takePlace();
      return opened;
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  /** Takes over the sandbox's outbound traffic from whichever process handled it. */
  async takePlace(): Promise<void> {
    if (this.#closed || (await this.#relay?.isCurrent())) return;
    this.#relay ??= await this.#start();
    await this.#relay.listen();
    // The previous gateway notices, and waits for this one to exit.
    await writeFileAtomic(join(this.#options.place.dir, GATEWAY_MARK), `${process.pid}\n`, 0o600, false);
  }

  enforce(policy: Policy): void {
    this.#gateway.setPolicy(policy);
  }

  activity(): NetworkActivity {
    return this.#gateway.activity();
  }

  /** Closes all connections: the sandbox has no network from now on, unless another process takes over. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher.close();
    this.#gateway.close();
    await this.#relay?.close();
    await this.#record.close();
  }

  async #start(): Promise<RelayProcess> {
    const gateway = this.#gateway;
    const relay = await RelayProcess.start(this.#options.place, {
      connection: (connection) => gateway.handleConnection(connection),
      query: (bytes) => gateway.answerQuery(bytes),
      moved: (bytes) => gateway.countBytes(bytes),
      quotaExceeded: () => gateway.exceedQuota(),
      freed: this.#options.freed,
      died: (stderr) => this.#died(stderr),
    });
    const left = gateway.remainingBytes();
    if (left !== null) relay.limit(left);
    return relay;
  }

  #died(stderr: string): void {
    const dead = this.#relay;
    this.#relay = null;
    this.#restarts++;
    const { log, freed } = this.#options;
    log.warn(
      { stderr, restarts: this.#restarts },
      'the relay of a sandbox exited; its connections were closed',
    );
    const cleared = dead === null ? Promise.resolve() : dead.close();
    cleared
      .catch((error: unknown) => log.warn({ err: error }, 'cannot clean up after a relay'))
      .finally(() => {
        if (!this.#closed && this.#restarts <= MAX_RESTARTS) freed();
      });
  }

  /** The takeover mark changed: if another process replaced this relay, watch for its exit. */
  #checkMark(): void {
    const relay = this.#relay;
    relay
      ?.isCurrent()
      .then((current) => {
        if (!current && !this.#closed) relay.watchSuccessor();
      })
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'cannot check a gateway'));
  }
}
