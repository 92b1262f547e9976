import type { Refusal } from './reply.ts';

/** Who sent a request. */
export interface Caller {
  readonly principal: string;
  /** What an access token allows; null if everything is allowed. */
  readonly scopes: ReadonlySet<string> | null;
}

export type Authentication = { readonly caller: Caller } | { readonly refused: Refusal };

/** Identifies the sender of a request by its `Authorization`. */
export type Authenticate = (authorization: string | undefined) => Promise<Authentication>;
