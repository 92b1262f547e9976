/** Package installs in an imported image, under each network policy. */
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import { runVerb } from '../support/run-verb.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { type DebianArchive, makeDebian } from './support/debian.ts';

const infoSchema = z.object({
  sandboxes: z.array(
    z.object({
      sandbox_id: z.string(),
      network: z.object({
        refused: z.number(),
        last_refused: z.array(z.object({ domain: z.string().nullable(), rule: z.string() })),
      }),
    }),
  ),
});

describe('apt in an imported Debian', () => {
  let debian: DebianArchive | string = 'not made';
  let server: RunningServer;

  beforeAll(async () => {
    server = await startServer();
    debian = await makeDebian();
    if (typeof debian === 'string') return;
    const imported = await runVerb([
      'image',
      'import',
      'debian',
      debian.path,
      '--state-dir',
      server.stateDir,
    ]);
    if (imported.code !== 0) throw new Error(imported.err);
  });

  afterAll(async () => {
    await server.close();
    if (typeof debian !== 'string') await debian.remove();
  });

  function made(context: TestContext): DebianArchive {
    return typeof debian === 'string' ? context.skip(debian) : debian;
  }

  async function create(network_policy: Record<string, unknown>): Promise<string> {
    const { structured, text, isError } = await server.call('sandbox_create', {
      runtime: 'debian',
      network_policy,
    });
    if (isError) throw new Error(text);
    return String(structured['sandbox_id']);
  }

  async function sudo(script: string): Promise<{ exitCode: unknown; output: string }> {
    const { structured } = await server.call('sandbox_run_command', {
      cmd: 'sh',
      args: ['-c', `${script} 2>&1`],
      sudo: true,
    });
    return { exitCode: structured['exit_code'], output: String(structured['stdout']) };
  }

  /** Runs apt-get, again if the mirror was out of order: its own retries take only seconds. */
  async function apt(args: string): ReturnType<typeof sudo> {
    let ran = await sudo(`apt-get ${args}`);
    for (let tries = 1; tries < 5 && / 50[0-9] {2}/.test(ran.output); tries++) {
      ran = await sudo(`apt-get ${args}`);
    }
    return ran;
  }

  it('installs packages under a policy that names just its hosts, and under allow-all', async (context) => {
    const sandboxId = await create({ mode: 'custom', allow: made(context).hosts });
    expect(await apt('update')).toMatchObject({
      exitCode: 0,
      output: expect.stringContaining('Fetched'),
    });
    expect(await apt('install -y --no-install-recommends hello')).toMatchObject({
      exitCode: 0,
      output: expect.stringContaining('Setting up hello'),
    });
    const hello = await server.call('sandbox_run_command', { cmd: 'hello' });
    expect(hello.structured['stdout']).toBe('Hello, world!\n');

    const network_policy = { mode: 'allow-all' };
    const changed = await server.call('sandbox_update_network_policy', { network_policy });
    expect(changed.isError, changed.text).toBe(false);
    // Most likely nothing is new, so that it only asks.
    expect(await apt('update')).toMatchObject({
      exitCode: 0,
      output: expect.stringMatching(/^(Hit|Get):/m),
    });
    expect(await apt('install -y --no-install-recommends cron')).toMatchObject({
      exitCode: 0,
      output: expect.stringContaining('Setting up cron'),
    });
    // Owners and groups are as the package defines them.
    expect((await sudo('stat -c "%G %a" /var/spool/cron/crontabs')).output.trim()).toBe('crontab 1730');
    expect(await sudo('apt-get remove -y hello && ! command -v hello')).toMatchObject({ exitCode: 0 });
    await server.call('sandbox_stop', { sandbox_id: sandboxId });
  });

  it('explains why it cannot under deny-all', async (context) => {
    const { hosts } = made(context);
    const sandboxId = await create({ mode: 'deny-all' });
    const { output } = await sudo('apt-get update');
    expect(output).toContain(`resolving '${hosts[0]}'`);
    const info = infoSchema.parse((await server.call('session_info')).structured);
    const { network } = info.sandboxes.find(({ sandbox_id }) => sandbox_id === sandboxId) ?? {
      network: null,
    };
    expect(network?.last_refused[0]).toMatchObject({
      domain: hosts[0],
      rule: expect.stringContaining('deny-all'),
    });
    expect(await sudo('apt-get install -y hello')).toMatchObject({ exitCode: 100 });
    await server.call('sandbox_stop', { sandbox_id: sandboxId });
  });
});
