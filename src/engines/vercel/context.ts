import type { Logger } from '../../shared/log.ts';
import type { SecretStore } from '../../shared/secrets.ts';
import type { Replica } from '../../shared/store/replica.ts';
import type { NetworkPolicy } from '../engine.ts';
import type { HttpTuning } from './http/dispatchers.ts';
import type { SdkClient } from './http/sdk-client.ts';
import type { VercelLayout } from './state/state-layout.ts';

/**
 * Parses a policy as every engine does: rejects invalid values, including a secret that may not be sent to a
 * rule's destination, and evaluates normalized names by the rest.
 */
export type ReadPolicy = (policy: NetworkPolicy) => {
  evaluateName(name: string): { readonly allowed: boolean; readonly rule: string };
};

/** What the parts of this engine share. */
export interface VercelContext {
  readonly cloud: SdkClient;
  readonly layout: VercelLayout;
  readonly tuning: HttpTuning;
  readonly secrets: SecretStore;
  readonly readPolicy: ReadPolicy;
  /** Null if this server shares nothing with others. */
  readonly replica: Replica | null;
  readonly log: Logger;
}
