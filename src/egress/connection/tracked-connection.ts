/** One connection on its way through the gateway: what it was judged by, its entry in the log, its end. */
import type { Duplex } from 'node:stream';
import { parseAddress } from '../policy/ip-ranges.ts';
import type { Policy, Verdict } from '../policy/policy.ts';
import type { Entry } from './connection-log.ts';
import type { GatewayContext, Moved, Redirected } from './context.ts';

export class Carried {
  readonly connection: Redirected;
  readonly entry: Entry;
  /** The names that speak for it; a change of policy judges it by them anew. */
  #names: readonly string[] = [];
  /** Until then nothing of it goes anywhere. */
  #judged = false;
  /** The address that was dialled, which is not always the one that the program named. */
  #dialled: string;
  #upstream: Duplex | null = null;
  #ended = false;
  /** The names that requests may be for which pass in it and nobody here sees: rules that come later cannot act on them. */
  unseen: readonly string[] = [];

  constructor(connection: Redirected, context: GatewayContext) {
    this.connection = connection;
    this.#dialled = connection.address;
    this.entry = {
      time: Date.now(),
      protocol: 'tcp',
      domain: context.names.leadingTo(connection.address)[0] ?? null,
      address: connection.address,
      port: connection.port,
      verdict: 'allowed',
      rule: '',
      bytesIn: 0,
      bytesOut: 0,
    };
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Notes what the connection was judged by. */
  judged(protocol: Entry['protocol'], names: readonly string[], verdict: Verdict): void {
    this.#judged = true;
    this.#names = names;
    this.entry.protocol = protocol;
    // What was refused in it, or failed, is told of it, whatever else passes.
    if (verdict.allowed && this.entry.verdict !== 'allowed') return;
    this.entry.rule = verdict.rule;
    if (names[0] !== undefined) this.entry.domain = names[0];
    if (!verdict.allowed) this.entry.verdict = 'refused';
  }

  failed(reason: string): void {
    this.entry.verdict = 'failed';
    this.entry.rule = reason;
  }

  /**
   * Where it goes.
   * @param upstream the connection to the outside where this process holds it; it ends with this one
   */
  carries(address: string, upstream: Duplex | null = null): void {
    this.#upstream = upstream;
    this.#dialled = address;
    this.entry.address = address;
    if (this.#ended) upstream?.destroy();
  }

  /** The verdict on the address that the program named, by itself. */
  direct(policy: Policy): Verdict {
    const address = parseAddress(this.connection.address);
    if (address === null) return { allowed: false, rule: `${this.connection.address} is no address` };
    return policy.judge([], address, this.connection.port);
  }

  /** Cuts it where the policy no longer allows it. What has not said yet whom it means is judged when it does. */
  rejudge(policy: Policy): void {
    const address = parseAddress(this.#dialled);
    const over = this.entry.verdict !== 'allowed' && this.#upstream === null;
    if (this.#ended || address === null || over) return;
    if (!this.#judged) {
      const forbidden = policy.forbids(address, this.connection.port);
      if (forbidden !== null) this.cut(forbidden.rule);
      return;
    }
    const verdict = policy.judge(this.#names, address, this.connection.port);
    if (!verdict.allowed) this.cut(verdict.rule);
    // The program connects anew, and then they do.
    else if (this.unseen.some((name) => policy.headers.concern(name)))
      this.cut('header rules have come for its domain');
  }

  cut(rule: string): void {
    if (this.#ended) return;
    this.entry.verdict = 'cut';
    this.entry.rule = rule;
    this.#upstream?.destroy();
    this.connection.cut();
  }

  /** Completes the entry once the connection is over. */
  end(moved: Moved): Entry {
    this.#ended = true;
    this.#upstream?.destroy();
    this.entry.bytesIn = moved.in;
    this.entry.bytesOut = moved.out;
    return this.entry;
  }
}
