import type { IncomingMessage } from 'node:http';
import type { SandboxOwner } from '../../../registry/types.ts';
import type { Authenticate, Caller } from '../caller.ts';
import type { Refusal } from '../reply.ts';
import { NO_REPOSITORY } from './git-requests.ts';

export interface GitAccess {
  /** Only the owner of the sandbox may fetch, with a token; else anyone who knows the URL. */
  ownerOnly: boolean;
  authenticate: Authenticate;
  checkScopes: (caller: Caller) => Refusal | null;
}

const BASIC = 'basic ';

/** Refuses those who may not fetch from a sandbox: the rules of previews. */
export function gitAdmission({ ownerOnly, authenticate, checkScopes }: GitAccess) {
  return async ({ headers }: IncomingMessage, sandbox: SandboxOwner | null): Promise<Refusal | null> => {
    if (!ownerOnly) return sandbox === null ? NO_REPOSITORY : null;
    const authentication = await authenticate(asBearer(headers.authorization));
    if ('refused' in authentication) return withPrompt(authentication.refused);
    const { caller } = authentication;
    const forbidden = checkScopes(caller);
    if (forbidden !== null) return forbidden;
    return sandbox?.principal === caller.principal ? null : NO_REPOSITORY;
  };
}

/** Git sends what its user types or its credential helper stores: the token is the password. */
function asBearer(authorization: string | undefined): string | undefined {
  if (authorization?.slice(0, BASIC.length).toLowerCase() !== BASIC) return authorization;
  const [, token = ''] = Buffer.from(authorization.slice(BASIC.length), 'base64').toString().split(':');
  return `Bearer ${token}`;
}

/** Git asks its user only for this scheme. */
function withPrompt(refusal: Refusal): Refusal {
  if (refusal.status !== 401) return refusal;
  return { ...refusal, headers: { ...refusal.headers, 'www-authenticate': 'Basic realm="sandbox-mcp"' } };
}
