/** One connection through the gateway: the verdict on it, its log entry, its end. */
import type { Duplex } from 'node:stream';
import { parseAddress } from '../policy/ip-ranges.ts';
import type { Decision, Policy } from '../policy/policy.ts';
import type { ConnectionEntry } from './connection-log.ts';
import type { ByteCounts, GatewayContext, RedirectedConnection } from './context.ts';

export class TrackedConnection {
  readonly connection: RedirectedConnection;
  readonly entry: ConnectionEntry;
  /** The host names it was evaluated by; a policy update evaluates it by them again. */
  #names: readonly string[] = [];
  /** Until then none of its bytes are sent anywhere. */
  #decided = false;
  /** The address that was dialled; may differ from the one that the program named. */
  #destination: string;
  #upstream: Duplex | null = null;
  #ended = false;
  /**
   * The names that requests passing through it unseen may be for: rules added later cannot act on those
   * requests.
   */
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

  /** Records what the decision was based on. */
  recordDecision(protocol: ConnectionEntry['protocol'], names: readonly string[], decision: Decision): void {
    this.#decided = true;
    this.#names = names;
    this.entry.protocol = protocol;
    // A refusal or failure inside the connection is what its entry reports, whatever else passes.
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
   * Records where it goes.
   * @param upstream the outside connection if this process holds it; it closes together with this one
   */
  setDestination(address: string, upstream: Duplex | null = null): void {
    this.#upstream = upstream;
    this.#destination = address;
    this.entry.address = address;
    if (this.#ended) upstream?.destroy();
  }

  /** The decision on the program's destination address only. */
  evaluateAddress(policy: Policy): Decision {
    const address = parseAddress(this.connection.address);
    if (address === null) return { allowed: false, rule: `${this.connection.address} is not an address` };
    return policy.evaluate([], address, this.connection.port);
  }

  /**
   * Closes it if the policy no longer allows it. A connection that has not named its host yet is evaluated
   * when it does.
   */
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
    // The program reconnects, and then the new rules apply.
    else if (this.uninspectedNames.some((name) => policy.headers.appliesTo(name)))
      this.terminate('a policy update added header rules for its domain');
  }

  terminate(rule: string): void {
    if (this.#ended) return;
    this.entry.outcome = 'cut';
    this.entry.rule = rule;
    this.#upstream?.destroy();
    this.connection.reset();
  }

  /** Completes the entry once the connection is closed. */
  finish(moved: ByteCounts): ConnectionEntry {
    this.#ended = true;
    this.#upstream?.destroy();
    this.entry.bytesIn = moved.in;
    this.entry.bytesOut = moved.out;
    return this.entry;
  }
}
