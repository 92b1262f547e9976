/** Allowed connections work completely and without delay, others are refused, and the server may change. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { ALL, NONE } from './support/attempts.ts';
import { openSandboxed, type Sandboxed } from './support/sandboxed.ts';
import { openWorld, type World } from './support/world.ts';

const isRoot = process.getuid?.() === 0;
const GOOD_ONLY = { mode: 'custom' as const, allow: ['good.test'] };

describe('outbound connections of a sandbox', needs('root, for routes to test addresses', isRoot), () => {
  let world: World;
  let box: Sandboxed;

  beforeAll(async () => {
    world = await openWorld();
    box = await openSandboxed(world);
  });

  afterAll(async () => {
    await box?.close();
    await world?.close();
  });

  it.each([
    ['allow-all', ALL],
    ['a custom policy', GOOD_ONLY],
  ])('pass HTTP, HTTPS, streams, uploads and WebSockets under %s', async (_title, policy) => {
    await box.setPolicy(policy);
    const printed = await box.python(`
curl('http://good.test/a'); curl('https://good.test/b')
s = tcp('good.test', 80); s.sendall(get(b'good.test', path=b'/stream'))
first = b''
while b'one' not in first: first += s.recv(65536)
tell('good.test', 80, get(b'good.test', path=b'/got-one'))
print('streams', b'two' not in first, b'two' in rest(s))
body = b'x' * 300000
print('upload', b'good 300000' in tell('good.test', 80, b'POST /up HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: close\\r\\nContent-Length: 300000\\r\\n\\r\\n' + body))
s = tcp('good.test', 80); s.sendall(b'GET /ws HTTP/1.1\\r\\nHost: good.test\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')
got = b''
while b'welcome' not in got: got += s.recv(4096)
print('upgraded', got[:12])
s = tcp('good.test', 7780); time.sleep(1.5); s.sendall(get(b'good.test', path=b'/late'))
print('late', b'200 OK' in rest(s))
`);
    expect(printed.match(/returncode=0/g)).toHaveLength(2);
    for (const part of ['streams True True', 'upload True', 'late True', "upgraded b'HTTP/1.1 101"])
      expect(printed).toContain(part);
  });

  it('are closed when a policy update no longer allows them, and kept otherwise', async () => {
    await box.setPolicy(ALL);
    const script = `
a = tcp('good.test', 7777); b = tcp('evil.test', 7777)
print(a.recv(6), b.recv(6), flush=True)
try: print('evil', b.recv(6))
except ConnectionResetError: print('evil is cut')
a.sendall(b'still'); a.settimeout(0.3)
try: print('good', a.recv(6))
except TimeoutError: print('good is open')
`;
    const prelude = await import('./support/attempts.ts');
    const started = await box.server.call('sandbox_run_command_detached', {
      cmd: 'python3',
      args: ['-c', prelude.PRELUDE + script],
    });
    const command_id = started.structured['command_id'];
    await expect
      .poll(async () => (await box.server.call('command_output', { command_id })).text)
      .toContain('hello');
    await box.setPolicy(GOOD_ONLY);
    await box.server.call('command_wait', { command_id });
    const { text } = await box.server.call('command_output', { command_id });
    expect(text).toContain('evil is cut');
    expect(text).toContain('good is open');
    expect(world.seen).toContain('raw good still');
  });

  it('are reported when refused', async () => {
    await box.setPolicy(GOOD_ONLY);
    expect(await box.python(`curl('http://evil.test/')`)).toContain('returncode=6');
    expect(await box.python(`tell(EVIL, 80, get(b'evil.test'))`)).toContain(
      'evil.test is not in the allow list',
    );
    expect(await box.python(`tell(EVIL, 443, hello('evil.test'))`)).toContain(
      "b'\\x15\\x03\\x03\\x00\\x02\\x021'",
    );
    const { structured } = await box.server.call('session_info');
    const reported = JSON.stringify(structured['sandboxes']);
    for (const port of [443, 80, 53]) {
      expect(reported).toMatch(
        new RegExp(`"domain":"evil.test","address":"[^"]*","port":${port},"rule":"evil.test is not in`),
      );
    }
  });

  it('pass every byte in order, in both directions at once, and close each direction separately', async () => {
    await box.setPolicy(ALL);
    const printed = await box.python(`
import threading, hashlib, os
def echoed(size):
  s = tcp('good.test', 7778); data = os.urandom(size); got = hashlib.sha256()
  def send():
    s.sendall(data); s.shutdown(socket.SHUT_WR)
  t = threading.Thread(target=send); t.start(); count = 0
  while True:
    d = s.recv(65536)
    if not d: break
    if count == 0: time.sleep(0.2)
    got.update(d); count += len(d)
  t.join(); return count == size and got.digest() == hashlib.sha256(data).digest()
print([echoed(n) for n in (0, 1, 70000, 30000000)])
`);
    expect(printed.trim()).toBe('[True, True, True, True]');
  });

  it('work 500 at once', async () => {
    await box.setPolicy(ALL);
    const printed = await box.python(`
import threading
held = [tcp('good.test', 7777) for _ in range(500)]
print(sum(s.recv(6) == b'hello\\n' for s in held))
`);
    expect(printed.trim()).toBe('500');
  });

  it('are impossible without the server, and possible again when the next one attaches', async () => {
    const first = await startServer({ args: ['--egress-dns', world.dns, '--on-disconnect', 'keep'] });
    const created = await first.call('sandbox_create', { network_policy: GOOD_ONLY, timeout_ms: 600_000 });
    const sandbox_id = String(created.structured['sandbox_id']);
    const fetchGood = { cmd: 'curl', args: ['-sS', '-m', '60', 'http://good.test/'], sandbox_id };
    expect((await first.call('sandbox_run_command', fetchGood)).structured).toMatchObject({
      stdout: 'good 0\n',
    });
    process.kill(first.pid, 'SIGKILL');
    const second = await startServer({ stateDir: first.stateDir, args: ['--egress-dns', world.dns] });
    try {
      const closed = await second.call('sandbox_run_command', fetchGood);
      expect(closed.structured).toMatchObject({ exit_code: 6, stdout: '' });
      await second.call('sandbox_get', { sandbox_id });
      expect((await second.call('sandbox_run_command', fetchGood)).structured).toMatchObject({
        stdout: 'good 0\n',
      });
      const other = { ...fetchGood, args: ['-sS', '-m', '60', 'http://evil.test/'] };
      expect((await second.call('sandbox_run_command', other)).structured).toMatchObject({ exit_code: 6 });
    } finally {
      const stopped = await second.call('sandbox_stop', { sandbox_id, blocking: true });
      expect(stopped.isError).toBe(false);
      expect(existsSync(join(first.stateDir, 'sandboxes', sandbox_id, 'agent/egress'))).toBe(false);
      await second.close();
      await first.close();
    }
  });

  it('keep working after a program with sudo has killed the agent processes that serve them', async () => {
    await box.setPolicy(ALL);
    const script = `
import os
for pid in sorted(int(p) for p in os.listdir('/proc') if p.isdigit()):
  try: me = open('/proc/%d/status' % pid).read()
  except OSError: continue
  if 'PPid:\\t1\\n' in me and pid != os.getppid() and pid != os.getpid() and open('/proc/%d/cmdline' % pid).read().startswith('/.agent'):
    try: os.kill(pid, 9)
    except OSError as e: print(e)
`;
    await box.python(script, { sudo: true });
    expect(await box.python(`curl('--retry', '3', 'http://good.test/')`)).toContain('returncode=0');
  });

  it('are unaffected by an invalid policy, which is rejected', async () => {
    await box.setPolicy(GOOD_ONLY);
    const answer = await box.server.call('sandbox_update_network_policy', {
      network_policy: { mode: 'custom', allow: ['https://good.test'] },
    });
    expect(answer.isError).toBe(true);
    expect(answer.text).toContain('is not a domain');
    const { structured } = await box.server.call('sandbox_get');
    expect(structured['network_policy']).toEqual(GOOD_ONLY);
  });
});

/** A directory without installed packages. */
async function freshFolder(server: RunningServer): Promise<string> {
  const { structured } = await server.call('sandbox_run_command', { cmd: 'mktemp', args: ['-d'] });
  return String(structured['stdout']).trim();
}

describe('a real install', () => {
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  const { hostname } = new URL(registry);

  it("works, even with only the registry's host allowed, and fails with a readable reason without it", async (context) => {
    const reachable = await fetch(registry, { signal: AbortSignal.timeout(5_000) }).then(
      () => true,
      (error: unknown) => String(error instanceof Error ? error.cause : error).includes('certificate'),
    );
    if (!reachable) return context.skip('the package registry cannot be reached from here');
    const server = await startServer();
    try {
      await server.call('sandbox_create', { network_policy: ALL });
      const install = {
        cmd: 'npm',
        args: ['install', '--no-audit', '--no-fund', '--fetch-retries=0', 'is-number'],
        env: { npm_config_registry: registry, npm_config_strict_ssl: 'false' },
      };
      for (const policy of [ALL, { mode: 'custom', allow: [hostname] }]) {
        await server.call('sandbox_update_network_policy', { network_policy: policy });
        const worked = await server.call('sandbox_run_command', {
          ...install,
          cwd: await freshFolder(server),
        });
        expect(worked.structured, worked.text).toMatchObject({ exit_code: 0 });
      }
      await server.call('sandbox_update_network_policy', { network_policy: NONE });
      const failed = await server.call('sandbox_run_command', {
        ...install,
        args: [...install.args, 'is-odd'],
      });
      expect(failed.structured['exit_code']).not.toBe(0);
      const { structured } = await server.call('session_info');
      expect(JSON.stringify(structured['sandboxes'])).toContain('mode deny-all');
    } finally {
      await server.close();
    }
  });
});
