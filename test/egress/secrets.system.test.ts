/** Secrets reach only their servers: no file, process, result or log contains their values. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NetworkPolicy } from '../../src/engines/engine.ts';
import { startServer } from '../support/server.ts';
import { openRuledSandbox, type RuledSandbox, ruledServer, SECRETS, say } from './support/ruled-sandbox.ts';
import { noted, openRuledWorld, type RuledWorld } from './support/ruled-world.ts';

const isRoot = process.getuid?.() === 0;
const rule = (domain: string, name = 'TOKEN'): NetworkPolicy => ({
  mode: 'custom',
  rules: [{ domain, headers: { Authorization: `Bearer ${say(name)}` } }],
});
/** Searches for a text, given backwards, in every process and every file not shared with the host. */
const SEARCH = `
import os, sys
needle = sys.argv[1][::-1].encode() if len(sys.argv) > 1 else b'NEEDLE'[::-1]
places = ['/proc/%s/%s' % (p, f) for p in os.listdir('/proc') if p.isdigit() for f in ('environ', 'cmdline')]
for top in ['/etc', '/home', '/opt', '/root', '/run', '/srv', '/tmp', '/usr/local', '/var', '/vercel', '/dev/shm']:
  for base, _, names in os.walk(top): places += [os.path.join(base, n) for n in names]
read = 0
for place in places:
  try:
    if not os.path.isfile(place): continue
    data = open(place, 'rb').read()
  except OSError: continue
  read += 1
  if needle in data: print('FOUND in', place)
print('looked at', read > 100)
`;

import { needs } from '../support/needs.ts';

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('secrets', needs('root, for a route to test addresses', isRoot), () => {
  let world: RuledWorld;
  let box: RuledSandbox;

  beforeAll(async () => {
    world = await openRuledWorld();
    box = await openRuledSandbox(world, rule('api.test'));
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  const search = (text: string) =>
    box.script('python3', SEARCH.replace('NEEDLE', [...text].reverse().join('')), { sudo: true });

  it("appear nowhere in the sandbox, in results, in the log or in the server's state", async () => {
    const started = await box.server.call('sandbox_run_command_detached', {
      cmd: 'bash',
      args: ['-c', 'curl -sS https://api.test/used; curl -sS http://api.test/used; sleep 60'],
    });
    await expect.poll(() => world.seen.filter(({ path }) => path === '/used').length).toBe(2);
    expect(noted(world.seen, '/used').headers['authorization']).toBe(`Bearer ${SECRETS.TOKEN}`);
    const found = await search(SECRETS.TOKEN);
    expect(found).toBe('looked at True\n');
    expect(await search('nameserver 10.0.2.3')).toContain('FOUND in /etc/resolv.conf');
    await box.server.call('command_kill', { command_id: started.structured['command_id'] });
    for (const tool of ['sandbox_get', 'session_info', 'sandbox_list']) {
      const { text, structured } = await box.server.call(tool);
      expect(text + JSON.stringify(structured)).not.toContain(SECRETS.TOKEN);
    }
    expect(box.server.stderr()).not.toContain(SECRETS.TOKEN);
    const holding = filesBelow(join(box.server.stateDir, 'sandboxes', box.sandboxId))
      .filter((path) => !path.includes('/layers/') && statSync(path).size < 10_000_000)
      .filter((path) => readFileSync(path).includes(SECRETS.TOKEN));
    expect(holding).toEqual([]);
  });

  it.each<[title: string, policy: NetworkPolicy, code: string, words: string]>([
    ['another domain', rule('evil.test'), 'permission', 'SANDBOX_MCP_SECRET_TOKEN_DOMAINS'],
    ['a wider pattern', rule('*.test'), 'permission', 'Secret TOKEN may not be sent to *.test'],
    ['no domain at all', rule('api.test', 'READABLE'), 'permission', 'currently: none'],
    ['an unknown name', rule('api.test', 'NOBODY'), 'invalid_argument', 'There is no secret NOBODY'],
  ])('are not sent to %s', async (_title, network_policy, code, words) => {
    for (const tool of ['sandbox_update_network_policy', 'sandbox_create']) {
      const answer = await box.server.call(tool, { network_policy: { ...network_policy } });
      expect(answer.isError).toBe(true);
      expect(answer.text).toContain(`Error (${code})`);
      expect(answer.text).toContain(words);
      expect(answer.text).not.toContain(SECRETS.TOKEN);
    }
    expect(await box.run('curl -sS https://api.test/still')).toContain('size 0');
  });

  it('are set in an environment only if the operator allows it', async () => {
    const env = { KEY: `<${say('READABLE')}>` };
    const refused = { KEY: say('TOKEN') };
    const length = String(SECRETS.READABLE.length + 2);
    expect(await box.run('echo -n $' + '{#KEY}', { env })).toBe(length);
    const created = await box.server.call('sandbox_create', { env, network_policy: { mode: 'deny-all' } });
    const sandbox_id = String(created.structured['sandbox_id']);
    const inside = { cmd: 'bash', args: ['-c', 'echo -n $' + '{#KEY}'], sandbox_id };
    expect((await box.server.call('sandbox_run_command', inside)).structured['stdout']).toBe(length);
    const shell = await box.server.call('sandbox_shell', {
      command: ['bash', '-c', 'echo "len=$' + '{#KEY}"; read'],
      env,
    });
    const shown = await box.server.call('shell_send', {
      shell_id: shell.structured['shell_id'],
      wait_ms: 5_000,
    });
    expect(shown.text).toContain(`len=${length}`);
    const record = join(box.server.stateDir, 'sandboxes', sandbox_id, 'record.json');
    expect(readFileSync(record, 'utf8')).not.toContain(SECRETS.READABLE);
    await box.server.call('sandbox_stop', { sandbox_id, blocking: true });
    for (const [tool, args] of [
      ['sandbox_create', {}],
      ['sandbox_run_command', { cmd: 'true', sandbox_id: box.sandboxId }],
      ['sandbox_run_command_detached', { cmd: 'true', sandbox_id: box.sandboxId }],
      ['sandbox_shell', { sandbox_id: box.sandboxId }],
    ] as const) {
      const answer = await box.server.call(tool, { ...args, env: refused });
      expect(answer.text).toContain('Error (permission): Secret TOKEN may not be read inside a sandbox.');
      expect(answer.text).toContain('SANDBOX_MCP_SECRET_TOKEN_ENV=true');
    }
    await box.server.call('sandbox_get', { sandbox_id: box.sandboxId });
  });

  it('are masked in what a program prints', async () => {
    const answer = await box.server.call('sandbox_run_command', {
      cmd: 'bash',
      args: ['-c', 'echo "got $KEY"; echo "got $KEY" >&2'],
      env: { KEY: say('READABLE') },
    });
    expect(answer.structured).toMatchObject({ stdout: 'got ***\n', stderr: 'got ***\n' });
    expect(answer.text).not.toContain(SECRETS.READABLE);
  });

  it('of the gateway (its key) stay outside, and no two sandboxes share one', async () => {
    const folder = join(box.server.stateDir, 'sandboxes', box.sandboxId);
    const stored = join(folder, 'authority.json');
    expect(statSync(stored).mode & 0o777).toBe(0o600);
    const { key } = z.object({ key: z.string() }).parse(JSON.parse(readFileSync(stored, 'utf8')));
    expect(await search(key.split('\n')[1] ?? 'no key')).toBe('looked at True\n');
    const other = await box.server.call('sandbox_create', { network_policy: { mode: 'deny-all' } });
    const otherId = String(other.structured['sandbox_id']);
    const otherFolder = join(box.server.stateDir, 'sandboxes', otherId);
    const certificate = (of: string) => readFileSync(join(of, 'trust/ca.crt'), 'utf8');
    expect(certificate(otherFolder)).not.toBe(certificate(folder));
    await box.server.call('sandbox_stop', { sandbox_id: otherId, blocking: true });
    expect(readdirSync(otherFolder).filter((name) => /trust|authority/.test(name))).toEqual([]);
    await box.server.call('sandbox_get', { sandbox_id: box.sandboxId });
  });

  it('are filled in by the next server that attaches to the sandbox, but not by one without them', async () => {
    const options = ruledServer(world);
    const keep = ['--on-disconnect', 'keep'];
    const first = await startServer({ ...options, args: [...(options.args ?? []), ...keep] });
    const created = await first.call('sandbox_create', { network_policy: { ...rule('api.test') } });
    const sandbox_id = String(created.structured['sandbox_id']);
    const fetchTaken = { cmd: 'curl', args: ['-sS', '-m', '60', 'https://api.test/taken'], sandbox_id };
    await first.call('sandbox_run_command', fetchTaken);
    const { stateDir } = first;
    await first.client.close();
    try {
      const poor = await startServer({ args: options.args ?? [], stateDir });
      await poor.call('sandbox_get', { sandbox_id });
      world.seen.splice(0);
      const closed = await poor.call('sandbox_run_command', fetchTaken);
      expect(closed.structured['exit_code']).not.toBe(0);
      expect(world.seen).toEqual([]);
      await expect.poll(() => poor.stderr()).toContain('There is no secret TOKEN');
      await poor.close();
      const next = await startServer({ ...options, stateDir });
      await next.call('sandbox_get', { sandbox_id });
      const opened = await next.call('sandbox_run_command', fetchTaken);
      expect(opened.structured['stdout']).toBe('size 0\n');
      expect(noted(world.seen, '/taken').headers['authorization']).toBe(`Bearer ${SECRETS.TOKEN}`);
      await next.call('sandbox_stop', { sandbox_id, blocking: true });
      await next.close();
    } finally {
      await first.close();
    }
  });
});
