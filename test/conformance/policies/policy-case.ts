import type { NetworkPolicy } from '../../../src/engines/engine.ts';

export interface PolicyCase {
  readonly title: string;
  readonly policy: NetworkPolicy;
  /** Ranges that the operator allows. */
  readonly opened?: readonly string[];
  /** The name that the program connects to, or null for an address. */
  readonly name: string | null;
  readonly address: string;
  readonly port?: number;
  readonly allowed: boolean;
}

export const ALLOW_ALL: NetworkPolicy = { mode: 'allow-all' };

export const custom = (policy: Omit<NetworkPolicy, 'mode'>): NetworkPolicy => ({ mode: 'custom', ...policy });
