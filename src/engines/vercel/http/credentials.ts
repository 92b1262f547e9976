/** Credentials for Vercel's API: one of two kinds, as in the SDK's reference. */
import type { VercelEnvironment } from '../../../config/config.ts';
import { SandboxError } from '../../../shared/errors.ts';

export interface Credentials {
  readonly token: string;
  readonly teamId: string;
  readonly projectId: string;
  /** The variable that the token comes from, for messages. */
  readonly variable: 'VERCEL_OIDC_TOKEN' | 'VERCEL_TOKEN';
  /** Epoch ms; null if the token does not state it. */
  readonly expiresAt: number | null;
}

/** How to renew each kind. */
export const RENEWAL: Readonly<Record<Credentials['variable'], string>> = {
  VERCEL_OIDC_TOKEN:
    'Run `vercel env pull` in the linked project and call again: the server rereads .env.local in its working directory, or the source in VERCEL_OIDC_TOKEN_FILE or VERCEL_OIDC_TOKEN_COMMAND. Otherwise set VERCEL_OIDC_TOKEN and restart the server.',
  VERCEL_TOKEN:
    'Create an access token in the account settings of vercel.com (Tokens), scoped to the team; set VERCEL_TOKEN with VERCEL_TEAM_ID and VERCEL_PROJECT_ID, and start the server again.',
};

interface Claims {
  owner: string | null;
  project: string | null;
  expiresAt: number | null;
}

/**
 * The credentials to use now: an OIDC token first, with team and project from their variables, else from its
 * payload; otherwise an access token, which needs both.
 *
 * @throws SandboxError `auth` naming the variable that is missing, unreadable or expired, and what renews it
 */
export function credentialsOf(environment: VercelEnvironment, now = Date.now()): Credentials {
  return environment.oidcToken === null
    ? accessToken(environment)
    : identityToken(environment.oidcToken, environment, now);
}

function identityToken(token: string, environment: VercelEnvironment, now: number): Credentials {
  const variable = 'VERCEL_OIDC_TOKEN';
  const claims = claimsOf(token);
  if (claims === null) {
    throw refused('VERCEL_OIDC_TOKEN is not a valid token.', RENEWAL[variable], [variable]);
  }
  if (claims.expiresAt !== null && claims.expiresAt <= now) {
    const when = new Date(claims.expiresAt).toISOString();
    throw refused(`VERCEL_OIDC_TOKEN expired at ${when}.`, RENEWAL[variable], [variable]);
  }
  const teamId = environment.teamId ?? claims.owner;
  const projectId = environment.projectId ?? claims.project;
  if (teamId === null || projectId === null) {
    const missing = [
      ...(teamId === null ? ['VERCEL_TEAM_ID'] : []),
      ...(projectId === null ? ['VERCEL_PROJECT_ID'] : []),
    ];
    throw refused(
      `VERCEL_OIDC_TOKEN does not contain the values of ${missing.join(' and ')}.`,
      `Set ${missing.join(' and ')}, then start the server again.`,
      missing,
    );
  }
  return { token, teamId, projectId, variable, expiresAt: claims.expiresAt };
}

function accessToken({ token, teamId, projectId }: VercelEnvironment): Credentials {
  if (token === null) {
    throw refused(
      'The vercel engine has no credentials: neither VERCEL_OIDC_TOKEN nor VERCEL_TOKEN is set.',
      `Run \`vercel link\` and \`vercel env pull\`, and set VERCEL_OIDC_TOKEN from .env.local. Or: ${RENEWAL.VERCEL_TOKEN}`,
      ['VERCEL_OIDC_TOKEN'],
    );
  }
  if (teamId !== null && projectId !== null) {
    return { token, teamId, projectId, variable: 'VERCEL_TOKEN', expiresAt: null };
  }
  const missing = [
    ...(teamId === null ? ['VERCEL_TEAM_ID'] : []),
    ...(projectId === null ? ['VERCEL_PROJECT_ID'] : []),
  ];
  throw refused(
    `VERCEL_TOKEN also needs ${missing.join(' and ')}.`,
    `Set ${missing.join(' and ')} from the settings of the team and the project, then start the server again.`,
    missing,
  );
}

function refused(message: string, hint: string, variables: string[]): SandboxError {
  return new SandboxError('auth', message, { hint, details: { variables } });
}

/**
 * The claims in the payload of a JSON Web Token (unverified: the API verifies it); null for anything else.
 */
function claimsOf(token: string): Claims | null {
  const parts = token.split('.');
  if (parts.length !== 3 || parts[1] === undefined) return null;
  let payload: unknown;
  try {
    payload = JSON.parse(Buffer.from(parts[1], 'base64url').toString('utf8'));
  } catch {
    return null;
  }
  if (typeof payload !== 'object' || payload === null) return null;
  const text = (name: string): string | null => {
    const value: unknown = Reflect.get(payload, name);
    return typeof value === 'string' && value !== '' ? value : null;
  };
  const expiry: unknown = Reflect.get(payload, 'exp');
  return {
    owner: text('owner_id'),
    project: text('project_id'),
    expiresAt: typeof expiry === 'number' && Number.isFinite(expiry) ? expiry * 1_000 : null,
  };
}
