import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { VercelEnvironment } from '../../../../src/config/config.ts';
import { CredentialSource } from '../../../../src/engines/vercel/http/credential-source.ts';
import { createLogger } from '../../../../src/shared/log.ts';
import { createRequest, timeoutSignal } from '../../../conformance/support/requests.ts';
import { startScriptedApi } from '../../../fakes/vercel/scripted-api.ts';
import { NO_CREDENTIALS, oidcToken, openVercelEngine } from '../support/vercel-engines.ts';

const HOUR_S = 3_600;

/** A token of the project that expires in this many seconds. */
function tokenFor(seconds: number, project = 'prj_1'): string {
  const exp = Math.round(Date.now() / 1_000) + seconds;
  return oidcToken({ owner_id: 'team_1', project_id: project, exp });
}

describe('an OIDC token', () => {
  let folder: string;
  let envFile: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'oidc-'));
    envFile = join(folder, '.env.local');
  });

  afterEach(() => rm(folder, { recursive: true }));

  const open = (environment: Partial<VercelEnvironment>) =>
    new CredentialSource({ ...NO_CREDENTIALS, ...environment }, createLogger('silent'));

  it('is read again from .env.local when it is about to expire', async () => {
    const fresh = tokenFor(HOUR_S);
    await writeFile(envFile, `# Created by Vercel CLI\nOTHER="x"\nVERCEL_OIDC_TOKEN="${fresh}"\n`);
    for (const seconds of [-60, 60]) {
      const source = open({ oidcToken: tokenFor(seconds), envFile });
      expect(await source.current()).toMatchObject({ token: fresh, projectId: 'prj_1' });
    }
  });

  it('is kept while it is valid, and if there is no newer one', async () => {
    await writeFile(envFile, `VERCEL_OIDC_TOKEN=${tokenFor(2 * HOUR_S)}\n`);
    const valid = tokenFor(HOUR_S);
    expect(await open({ oidcToken: valid, envFile }).current()).toMatchObject({ token: valid });
    const soon = tokenFor(60);
    expect(await open({ oidcToken: soon, envFile: join(folder, 'none') }).current()).toMatchObject({
      token: soon,
    });
  });

  it('is read from a file or a command at the first request, and again when it expires', async () => {
    const tokenFile = join(folder, 'token');
    const tokenCommand = `cat ${tokenFile}`;
    for (const environment of [{ tokenFile }, { tokenCommand }]) {
      const soon = tokenFor(60);
      await writeFile(tokenFile, `${soon}\n`);
      const source = open(environment);
      expect(await source.current()).toMatchObject({ token: soon, teamId: 'team_1' });
      const fresh = tokenFor(HOUR_S);
      await writeFile(tokenFile, `VERCEL_OIDC_TOKEN=${fresh}\n`);
      expect(await source.current()).toMatchObject({ token: fresh });
    }
  });

  it('of another project is rejected: the sandboxes would move there', async () => {
    await writeFile(envFile, `VERCEL_OIDC_TOKEN=${tokenFor(HOUR_S, 'prj_other')}\n`);
    await expect(open({ oidcToken: tokenFor(-60), envFile }).current()).rejects.toMatchObject({
      code: 'auth',
      message: expect.stringMatching(/expired.*\.env\.local was read again: .*prj_other.*not for prj_1/),
      hint: expect.stringContaining('vercel env pull'),
    });
  });

  it.each<[string, Partial<VercelEnvironment>, RegExp]>([
    ['a missing file', { tokenFile: '/none/token' }, /VERCEL_OIDC_TOKEN_FILE.*ENOENT/],
    ['a command that fails', { tokenCommand: 'exit 3' }, /VERCEL_OIDC_TOKEN_COMMAND.*failed/],
    ['a command that prints no token', { tokenCommand: 'echo hello' }, /it holds no token/],
  ])('that cannot be read is reported with the reason: %s', async (_case, environment, words) => {
    await expect(open(environment).current()).rejects.toMatchObject({
      code: 'auth',
      message: expect.stringMatching(words),
      hint: expect.stringContaining('vercel env pull'),
    });
  });

  it('rejected by the platform during a session is replaced, so that the stop still works', async () => {
    const api = await startScriptedApi();
    const [first, second] = [tokenFor(HOUR_S), tokenFor(2 * HOUR_S)];
    let valid = first;
    api.answers.push(({ authorization }) =>
      authorization === `Bearer ${valid}`
        ? null
        : { status: 403, body: { error: { code: 'forbidden', invalidToken: true } } },
    );
    const { engine, remove } = await openVercelEngine(
      { url: api.url, credentials: { oidcToken: first, envFile } },
      { retryBaseMs: 1, pollMs: 5 },
    );
    try {
      const { sandboxId } = await engine.create(createRequest(), timeoutSignal());
      valid = second;
      await expect(engine.get(sandboxId, timeoutSignal())).rejects.toMatchObject({ code: 'auth' });
      await writeFile(envFile, `VERCEL_OIDC_TOKEN="${second}"\n`);
      api.answers.push(({ path }) => {
        if (path.endsWith('/stop')) api.session = { status: 'stopped', stoppedAt: Date.now() };
        return null;
      });
      expect(await engine.stop(sandboxId, 'session_end', timeoutSignal())).toMatchObject({
        status: 'stopped',
      });
    } finally {
      await engine.close();
      await remove();
      await api.close();
    }
  });
});
