import { describe, expect, it } from 'vitest';
import type { VercelEnvironment } from '../../../../src/config/config.ts';
import { credentialsOf } from '../../../../src/engines/vercel/http/credentials.ts';
import { NO_CREDENTIALS, oidcToken } from '../support/vercel-engines.ts';

const NOW = Date.UTC(2026, 0, 1);

const CLAIMS = { owner_id: 'team_claimed', project_id: 'prj_claimed', exp: NOW / 1_000 + 3_600 };

describe('credentials', () => {
  it('are the OIDC token if there is one, with the team and project in its payload', () => {
    const token = oidcToken(CLAIMS);
    expect(credentialsOf({ ...NO_CREDENTIALS, oidcToken: token, token: 'other' }, NOW)).toEqual({
      token,
      teamId: 'team_claimed',
      projectId: 'prj_claimed',
      variable: 'VERCEL_OIDC_TOKEN',
      expiresAt: NOW + 3_600_000,
    });
  });

  it('take team and project from the environment before the payload', () => {
    const environment = {
      ...NO_CREDENTIALS,
      oidcToken: oidcToken(CLAIMS),
      teamId: 'team_set',
      projectId: 'prj_set',
    };
    expect(credentialsOf(environment, NOW)).toMatchObject({ teamId: 'team_set', projectId: 'prj_set' });
  });

  it('are otherwise the access token with team and project', () => {
    const environment = { ...NO_CREDENTIALS, token: 'secret', teamId: 'team_1', projectId: 'prj_1' };
    expect(credentialsOf(environment, NOW)).toEqual({
      token: 'secret',
      teamId: 'team_1',
      projectId: 'prj_1',
      variable: 'VERCEL_TOKEN',
      expiresAt: null,
    });
  });

  it.each<[string, Partial<VercelEnvironment>, string, string]>([
    ['nothing is set', {}, 'neither VERCEL_OIDC_TOKEN nor VERCEL_TOKEN is set', 'vercel env pull'],
    [
      'the token has expired',
      { oidcToken: oidcToken({ ...CLAIMS, exp: NOW / 1_000 }) },
      'VERCEL_OIDC_TOKEN expired at 2026-01-01T00:00:00.000Z.',
      'vercel env pull',
    ],
    [
      'it is not a token',
      { oidcToken: 'garbage' },
      'VERCEL_OIDC_TOKEN is not a valid token',
      'vercel env pull',
    ],
    [
      'its payload is invalid',
      { oidcToken: 'a.b.c' },
      'VERCEL_OIDC_TOKEN is not a valid token',
      'vercel env pull',
    ],
    [
      'the project is missing',
      { oidcToken: oidcToken({ owner_id: 'team_1' }) },
      'does not contain the values of VERCEL_PROJECT_ID',
      'Set VERCEL_PROJECT_ID',
    ],
    [
      'the access token has neither team nor project',
      { token: 'secret' },
      'VERCEL_TOKEN also needs VERCEL_TEAM_ID and VERCEL_PROJECT_ID',
      'Set VERCEL_TEAM_ID and VERCEL_PROJECT_ID',
    ],
    [
      'the access token has no project',
      { token: 'secret', teamId: 'team_1' },
      'VERCEL_TOKEN also needs VERCEL_PROJECT_ID.',
      'Set VERCEL_PROJECT_ID',
    ],
  ])(
    'are rejected if %s, with the variable and the fix, without the value',
    (_case, environment, message, hint) => {
      expect(() => credentialsOf({ ...NO_CREDENTIALS, ...environment }, NOW)).toThrow(
        expect.objectContaining({
          code: 'auth',
          message: expect.stringContaining(message),
          hint: expect.stringContaining(hint),
        }),
      );
      try {
        credentialsOf({ ...NO_CREDENTIALS, ...environment }, NOW);
      } catch (error) {
        expect(JSON.stringify(error) + String(error)).not.toContain('secret');
      }
    },
  );
});
