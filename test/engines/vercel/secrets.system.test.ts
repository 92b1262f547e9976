/** Secrets on the vercel engine: they reach the cloud, but no result, record or log. */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startVercelApi, type VercelApi } from '../../fakes/vercel/index.ts';
import type { Operation } from '../../fakes/vercel/wire/operations.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { serverEnvironment, vercelArguments } from './support/vercel-engines.ts';

const TOKEN = 'opensesame-token';
const READABLE = 'opensesame-readable';
const say = (name: string): string => `\${secret:${name}}`;
const policyFor = (domain: string, name = 'TOKEN') => ({
  mode: 'custom',
  rules: [{ domain, headers: { authorization: `Bearer ${say(name)}` } }],
});

describe('secrets in the cloud', () => {
  let api: VercelApi;
  let server: RunningServer;
  const answers: string[] = [];

  const call = async (tool: string, args: Record<string, unknown>) => {
    const answer = await server.call(tool, args);
    answers.push(answer.text, JSON.stringify(answer.structured));
    return answer;
  };

  /** The body of the last request of this kind to the cloud. */
  const sentTo = (operation: Operation): string =>
    JSON.stringify(api.bodies.findLast((request) => request.operation === operation)?.body);

  beforeAll(async () => {
    api = await startVercelApi();
    server = await startServer({
      args: [...vercelArguments(api), '--log-level', 'debug'],
      env: {
        ...serverEnvironment(api),
        SANDBOX_MCP_SECRET_TOKEN: TOKEN,
        SANDBOX_MCP_SECRET_TOKEN_DOMAINS: 'api.test,git.test',
        SANDBOX_MCP_SECRET_READABLE: READABLE,
        SANDBOX_MCP_SECRET_READABLE_ENV: 'true',
      },
    });
  });

  afterAll(async () => {
    await server.close();
    await api.close();
    expect(api.violations).toEqual([]);
  });

  it('are set on requests by the cloud’s firewall', async () => {
    const made = await call('sandbox_create', { network_policy: policyFor('api.test') });
    expect(made.structured).toMatchObject({
      status: 'running',
      network_policy: { rules: [{ domain: 'api.test', headers: { authorization: '***' } }] },
    });
    expect(sentTo('sandbox.create')).toContain(`Bearer ${TOKEN}`);
    await call('sandbox_update_network_policy', { network_policy: { mode: 'deny-all' } });
    const changed = await call('sandbox_update_network_policy', { network_policy: policyFor('api.test') });
    expect(changed.isError).toBe(false);
    expect(sentTo('session.network-policy')).toContain(`Bearer ${TOKEN}`);
    const shown = await call('sandbox_get', {});
    expect(shown.structured['network_policy']).toEqual(changed.structured['network_policy']);
    expect(shown.text).toContain('***');
    await call('sandbox_stop', { blocking: true });
  });

  it.each([
    ['another domain', policyFor('other.test'), 'permission', 'other.test'],
    ['a wildcard', policyFor('*.test'), 'permission', '*.test'],
    ['an unknown name', policyFor('api.test', 'NOBODY'), 'invalid_argument', 'no secret NOBODY'],
  ])('are rejected for %s, before any request to the cloud', async (_, network_policy, code, words) => {
    await call('sandbox_create', { network_policy: { mode: 'deny-all' } });
    const before = api.bodies.length;
    for (const tool of ['sandbox_create', 'sandbox_update_network_policy']) {
      const { text } = await call(tool, { network_policy });
      expect(text).toContain(`Error (${code}):`);
      expect(text).toContain(words);
    }
    expect(api.bodies.length).toBe(before);
    await call('sandbox_stop', { blocking: true });
  });

  it('are set in the environment only if the operator allows it', async () => {
    const env = { KEY: say('READABLE') };
    const length = { cmd: 'bash', args: ['-c', `echo \${#KEY}; echo "$KEY"`] };
    await call('sandbox_create', { env, network_policy: { mode: 'deny-all' } });
    expect(sentTo('sandbox.create')).toContain(READABLE);
    const expected = { stdout: `${READABLE.length}\n***\n` };
    expect((await call('sandbox_run_command', length)).structured).toMatchObject(expected);
    await call('sandbox_stop', { blocking: true });

    await call('sandbox_create', { network_policy: { mode: 'deny-all' } });
    expect((await call('sandbox_run_command', { ...length, env })).structured).toMatchObject(expected);
    const shell = await call('sandbox_shell', { command: ['bash', '-c', `echo len=\${#KEY}; read`], env });
    const { shell_id } = shell.structured;
    const screen = await call('shell_send', { shell_id, wait_for: `len=${READABLE.length}` });
    expect(screen.text).toContain(`len=${READABLE.length}`);
    const before = api.bodies.length;
    for (const tool of ['sandbox_create', 'sandbox_run_command', 'sandbox_shell']) {
      const { text } = await call(tool, {
        ...(tool === 'sandbox_run_command' && { cmd: 'true' }),
        env: { KEY: say('TOKEN') },
      });
      expect(text).toContain('Error (permission): Secret TOKEN may not be read inside a sandbox.');
    }
    expect(api.bodies.length).toBe(before);
    await call('sandbox_stop', { blocking: true });
  });

  it('are sent to the server of a repository by Vercel’s service', async () => {
    const source = { type: 'git', url: 'http://git.test:1/private.git', password: say('TOKEN') };
    const { text } = await call('sandbox_create', { source });
    // No server is listening; only the recipient matters.
    expect(text).toContain('Error (unavailable): http://git.test:1/private.git could not be fetched.');
    expect(text).toContain('Vercel said:');
    expect(sentTo('sandbox.create')).toContain(`"username":"x-access-token","password":"${TOKEN}"`);
    const otherHost = { ...source, url: 'http://other.test:1/private.git' };
    const before = api.bodies.length;
    expect((await call('sandbox_create', { source: otherHost })).text).toContain(
      'Error (permission): Secret TOKEN may not be sent to other.test.',
    );
    expect(api.bodies.length).toBe(before);
  });

  it('appear in no result, record or log', () => {
    const values = [TOKEN, READABLE];
    const needles = values.flatMap((value) => ['-e', value]);
    // Output is stored unchanged, closed to other users, and masked in results.
    const kept = spawnSync('grep', ['-rlaF', ...needles, '--include=*.json', server.stateDir]);
    expect(kept.stdout.toString()).toBe('');
    for (const value of values) {
      expect(server.stderr()).not.toContain(value);
      expect(answers.filter((answer) => answer.includes(value))).toEqual([]);
    }
  });
});
