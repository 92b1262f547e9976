/** One connection on its way through the gateway: what it was judged by, its entry in the log, its end. */
import type { Duplex } from 'node:stream';
import { parseAddress } from '../policy/ip-ranges.ts';
import type { Decision, Policy } from '../policy/policy.ts';
import type { ConnectionEntry } from './connection-log.ts';
import type { ByteCounts, GatewayContext, RedirectedConnection } from './context.ts';

export class TrackedConnection {
  readonly connection: RedirectedConnection;
  readonly entry: ConnectionEntry;
  /** The names that speak for it; a change of policy judges it by them anew. */
  #names: readonly string[] = [];
  /** Until then nothing of it goes anywhere. */
  #decided = false;
  /** The address that was dialled, which is not always the one that the program named. */
  #destination: string;
  #upstream: Duplex | null = null;
  #ended = false;
  /** The names that requests may be for which pass in it and nobody here sees: rules that come later cannot act on them. */
  uninspectedNames: readonly string[] = [];

  constructor(connection: RedirectedConnection, context: GatewayContext) {
    this.connection = connection;
    this.#destination = connection.address;
    this.entry = {
      time: Date.now(),
      protocol: 'tcp',
      domain: context.names.namesFor(connection.address)[0] ?? null,
      address: connection.address,
      port: connection.port,
      outcome: 'allowed',
      rule: '',
      bytesIn: 0,
      bytesOut: 0,
    };
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Notes what the connection was judged by. */
  recordDecision(protocol: ConnectionEntry['protocol'], names: readonly string[], decision: Decision): void {
    this.#decided = true;
    this.#names = names;
    this.entry.protocol = protocol;
    // What was refused in it, or failed, is told of it, whatever else passes.
    if (decision.allowed && this.entry.outcome !== 'allowed') return;
    this.entry.rule = decision.rule;
    if (names[0] !== undefined) this.entry.domain = names[0];
    if (!decision.allowed) this.entry.outcome = 'refused';
  }

  recordFailure(reason: string): void {
    this.entry.outcome = 'failed';
    this.entry.rule = reason;
  }

  /**
   * Where it goes.
   * @param upstream the connection to the outside where this process holds it; it ends with this one
   */
  setDestination(address: string, upstream: Duplex | null = null): void {
    this.#upstream = upstream;
    this.#destination = address;
    this.entry.address = address;
    if (this.#ended) upstream?.destroy();
  }

  /** The decision on the address that the program named, by itself. */
  evaluateAddress(policy: Policy): Decision {
    const address = parseAddress(this.connection.address);
    if (address === null) return { allowed: false, rule: `${this.connection.address} is no address` };
    return policy.evaluate([], address, this.connection.port);
  }

  /** Cuts it where the policy no longer allows it. What has not said yet whom it means is judged when it does. */
  reevaluate(policy: Policy): void {
    const address = parseAddress(this.#destination);
    const over = this.entry.outcome !== 'allowed' && this.#upstream === null;
    if (this.#ended || address === null || over) return;
    if (!this.#decided) {
      const forbidden = policy.forbids(address, this.connection.port);
      if (forbidden !== null) this.terminate(forbidden.rule);
      return;
    }
    const decision = policy.evaluate(this.#names, address, this.connection.port);
    if (!decision.allowed) this.terminate(decision.rule);
    // The program connects anew, and then they do.
    else if (this.uninspectedNames.some((name) => policy.headers.appliesTo(name)))
      this.terminate('header rules have come for its domain');
  }

  terminate(rule: string): void {
    if (this.#ended) return;
    this.entry.outcome = 'cut';
    this.entry.rule = rule;
    this.#upstream?.destroy();
    this.connection.reset();
  }

  /** Completes the entry once the connection is over. */
  finish(moved: ByteCounts): ConnectionEntry {
    this.#ended = true;
    this.#upstream?.destroy();
    this.entry.bytesIn = moved.in;
    this.entry.bytesOut = moved.out;
    return this.entry;
  }
}
