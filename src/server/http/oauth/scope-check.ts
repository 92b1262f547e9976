import type { Tool } from '../../../../tools/common/tool.ts';
import type { Config } from '../../../config/config.ts';
import type { Caller } from '../caller.ts';
import type { Refusal } from '../reply.ts';
import type { OAuth } from './oauth.ts';
import { missingScopes, scopesFor } from './scopes.ts';

/**
 * Refuses a message that the caller's access token does not allow, and names the scopes with which the client
 * can ask the user for more.
 */
export function scopeCheck(
  oauth: OAuth | null,
  tools: readonly Tool[],
  config: Pick<Config, 'engine' | 'readOnly'>,
): (caller: Caller, message: object) => Refusal | null {
  const byName = new Map(tools.map((tool) => [tool.name, tool]));
  return ({ scopes }, message) => {
    if (oauth === null || scopes === null) return null;
    const wanted = missingScopes(scopes, scopesFor(message, byName, config));
    if (wanted === null) return null;
    const description = `This request needs a token with the scopes ${wanted.join(' ')}.`;
    const challenge = oauth.resource.challenge({ code: 'insufficient_scope', description }, wanted);
    return { status: 403, message: description, headers: { 'www-authenticate': challenge } };
  };
}
