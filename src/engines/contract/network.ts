/** The part of the engine contract for the network of a running sandbox. */
import type { NetworkPolicy } from '../../shared/policy-schema.ts';

/** Present if the engine can change the policy of a running sandbox. */
export interface NetworkPolicies {
  update(sandboxId: string, policy: NetworkPolicy, signal: AbortSignal): Promise<NetworkPolicy>;
  /** Present if rules can do more with requests than set headers. */
  readonly ruleEffects?: readonly ('forwardUrl' | 'response')[];
  /** Allowed and refused traffic over the sandbox's life, as far as it is known. */
  activity?(sandboxId: string): Promise<NetworkActivity>;
}

export interface NetworkActivity {
  connections: number;
  refused: number;
  /** Inbound plus outbound. */
  bytesIn: number;
  bytesOut: number;
  /** The network quota in bytes, inbound plus outbound; null means none. Beyond it all traffic is refused. */
  maxBytes: number | null;
  /** Latest first. */
  lastRefused: { time: number; domain: string | null; address: string; port: number; rule: string }[];
}
