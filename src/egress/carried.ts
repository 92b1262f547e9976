/** One connection on its way through the gateway: what it was judged by, its entry in the log, its end. */
import type { Duplex } from 'node:stream';
import { parseAddress } from './addresses.ts';
import type { Entry } from './connection-log.ts';
import type { GatewayContext, Redirected } from './context.ts';
import type { Policy, Verdict } from './policy.ts';

export class Carried {
  readonly connection: Redirected;
  readonly entry: Entry;
  readonly #context: GatewayContext;
  readonly #onEnd: (carried: Carried) => void;
  /** The names that speak for it; a change of policy judges it by them anew. */
  #names: readonly string[] = [];
  /** The address that was dialled, which is not always the one that the program named. */
  #dialled: string;
  #upstream: Duplex | null = null;
  #ended = false;
  /** Set where requests pass in it that nobody here sees: rules that come later cannot act on them. */
  unseen = false;

  constructor(connection: Redirected, context: GatewayContext, onEnd: (carried: Carried) => void) {
    this.connection = connection;
    this.#context = context;
    this.#onEnd = onEnd;
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
    connection.stream.on('error', () => connection.stream.destroy());
    connection.stream.once('close', () => this.#end());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Notes what the connection was judged by. */
  judged(protocol: Entry['protocol'], names: readonly string[], verdict: Verdict): void {
    this.entry.protocol = protocol;
    this.entry.rule = verdict.rule;
    this.#names = names;
    if (names[0] !== undefined) this.entry.domain = names[0];
    if (!verdict.allowed) this.entry.verdict = 'refused';
  }

  failed(reason: string): void {
    this.entry.verdict = 'failed';
    this.entry.rule = reason;
  }

  /** The connection to the outside, which ends with this one. */
  carries(upstream: Duplex, address: string): void {
    this.#upstream = upstream;
    this.#dialled = address;
    this.entry.address = address;
    if (this.#ended) upstream.destroy();
  }

  bytes(): { in: number; out: number } {
    const { stream } = this.connection;
    return { in: stream.bytesWritten, out: stream.bytesRead };
  }

  /** Cuts it where the policy no longer allows it. */
  rejudge(policy: Policy): void {
    const address = parseAddress(this.#dialled);
    const over = this.entry.verdict !== 'allowed' && this.#upstream === null;
    if (this.#ended || address === null || over) return;
    const verdict = policy.judge(this.#names, address, this.connection.port);
    if (!verdict.allowed) this.cut(verdict.rule);
    // The program connects anew, and then they do.
    else if (this.unseen && this.#names.some((name) => policy.headers.concern(name)))
      this.cut('header rules have come for its domain');
  }

  cut(rule: string): void {
    if (this.#ended) return;
    this.entry.verdict = 'cut';
    this.entry.rule = rule;
    // At once: not one byte more may pass.
    this.#upstream?.destroy();
    this.connection.stream.destroy();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#upstream?.destroy();
    const bytes = this.bytes();
    this.entry.bytesIn = bytes.in;
    this.entry.bytesOut = bytes.out;
    this.#context.log.add(this.entry);
    this.#onEnd(this);
  }
}
