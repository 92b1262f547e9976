import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failsWith, outputOf } from '../../support/answers.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

let server: RunningServer;

beforeAll(async () => {
  server = await startServer();
  await server.call('sandbox_create');
});
afterAll(() => server.close());

const run = (args: Record<string, unknown>) => server.call('sandbox_run_command', args);
const detached = (args: Record<string, unknown>) => server.call('sandbox_run_command_detached', args);
const SERVER = `import http.server, sys
print('starting'); sys.stdout.flush()
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
print('ready at', sys.argv[1]); sys.stdout.flush()
server.serve_forever()`;

describe('a command with its input', () => {
  it('writes files first, then runs, with standard input', async () => {
    const files = [
      { path: 'run.sh', content: '#!/bin/sh\ncat data; cat\n', mode: '0755' },
      { path: 'data', content: Buffer.from('from a file\n').toString('base64'), encoding: 'base64' },
    ];
    const answer = await run({ cmd: './run.sh', cwd: '/tmp', files, stdin: 'from stdin\n' });
    expect(answer.structured).toMatchObject({ exit_code: 0, stdout: 'from a file\nfrom stdin\n' });
  });

  it('runs nothing if a file cannot be written or the input cannot be passed', async () => {
    const touch = { cmd: 'touch', args: ['/tmp/has-run'] };
    failsWith(
      await run({ ...touch, files: [{ path: '/usr', content: '' }] }),
      'invalid_argument',
      'is a directory',
    );
    failsWith(await run({ ...touch, files: [] }), 'invalid_argument', 'files');
    failsWith(await run({ ...touch, stdin: 'a\0b' }), 'invalid_argument', 'without NUL');
    failsWith(
      await run({ ...touch, stdin: 'x'.repeat(524_289) }),
      'invalid_argument',
      'at most 524288 bytes',
    );
    expect((await run({ cmd: 'ls', args: ['/tmp/has-run'] })).structured['exit_code']).toBe(2);
  });
});

describe('a detached command that is waited for', () => {
  it('answers when its port is listened on, which session_info then lists', async () => {
    const answer = await detached({
      cmd: 'python3',
      args: ['-c', SERVER, '8301'],
      wait_for: { port: 8301, timeout_ms: 55_000 },
    });
    expect(answer.structured).toMatchObject({ ready: true, status: 'running' });
    // A sandbox that is slow to answer is listed without them.
    await expect
      .poll(async () => (await server.call('session_info')).structured['sandboxes'])
      .toEqual([
        expect.objectContaining({
          listening_ports: [
            { port: 8301, pid: expect.any(Number), program: expect.stringContaining('python') },
          ],
        }),
      ]);
    // A second server cannot have the port: it is not ready because the first one is.
    const second = await detached({
      cmd: 'python3',
      args: ['-c', SERVER, '8301'],
      wait_for: { port: 8301, timeout_ms: 55_000 },
    });
    expect(second.structured).toMatchObject({
      ready: false,
      exit_code: 1,
      stderr: expect.stringContaining('Address already in use'),
      next: expect.stringMatching(/^Before it started, python\S* \(pid \d+\) listened on port 8301/),
    });
    // A port that nobody exposed is exposed on the spot.
    const { structured: exposed } = await server.call('sandbox_domain', { port: 8301 });
    expect((await fetch(String(exposed['url']))).status).toBe(200);
  });

  it('answers when a line matches, or with what the program said before it ended', async () => {
    const wait_for = { log: 'ready at \\d+', timeout_ms: 55_000 };
    const ready = await detached({ cmd: 'python3', args: ['-c', SERVER, '8302'], wait_for });
    expect(ready.structured).toMatchObject({
      ready: true,
      status: 'running',
      stdout: 'starting\nready at 8302\n',
    });
    const failed = await detached({ cmd: 'sh', args: ['-c', 'echo no luck >&2; exit 3'], wait_for });
    expect(failed.structured).toMatchObject({ ready: false, exit_code: 3, stderr: 'no luck\n' });
    expect(failed.text).toMatch(/^ready: false\n/);
    const late = await detached({ cmd: 'sleep', args: ['60'], wait_for: { port: 8309, timeout_ms: 10 } });
    expect(late.structured).toMatchObject({ ready: false, status: 'running' });
    expect((await detached({ cmd: 'true' })).structured).toMatchObject({ ready: null });
  });

  it('starts nothing for a condition that makes no sense', async () => {
    const touch = { cmd: 'touch', args: ['/tmp/started'] };
    failsWith(await detached({ ...touch, wait_for: {} }), 'invalid_argument', 'either port or log');
    failsWith(
      await detached({ ...touch, wait_for: { port: 1, log: 'x' } }),
      'invalid_argument',
      'either port or log',
    );
    failsWith(await detached({ ...touch, wait_for: { log: '(a)\\1' } }), 'invalid_argument', 'wait_for.log');
    failsWith(await detached({ ...touch, wait_for: { port: 70_000 } }), 'invalid_argument', 'port');
    expect((await run({ cmd: 'ls', args: ['/tmp/started'] })).structured['exit_code']).toBe(2);
  });
});

describe('a snapshot that keeps its sandbox running', () => {
  it('forks a living sandbox twice', async (context) => {
    const { structured: info } = await server.call('session_info');
    if (/memory/i.test(JSON.stringify(info['engine'], ['not_enforced'])))
      return context.skip('needs cgroups, which this host does not give');
    const bash = (script: string) => outputOf(server, script);
    await bash(
      'echo before > state; ln state linked; mkdir gone; rm -r gone; sudo rm -f /etc/hostname 2>/dev/null; true',
    );
    const ticker = await detached({ cmd: 'sh', args: ['-c', 'while :; do date >> ticks; sleep 0.1; done'] });
    const { structured: source } = await server.call('sandbox_get');
    const taken = await server.call('sandbox_snapshot', { keep_running: true });
    expect(taken.isError ? taken.text : taken.structured).toMatchObject({
      status: 'created',
      sandbox_status: 'running',
    });
    await bash('echo after > state');
    const status = await server.call('command_wait', {
      command_id: ticker.structured['command_id'],
      wait_ms: 1,
    });
    expect(status.structured).toMatchObject({ status: 'running' });
    const snapshot = { type: 'snapshot', snapshot_id: taken.structured['snapshot_id'] };
    for (const _fork of [1, 2]) {
      const fork = await server.call('sandbox_create', { source: snapshot });
      expect(fork.structured['status']).toBe('running');
      expect(await bash('cat state linked; ls -A')).toContain('before\nbefore\n');
      await server.call('sandbox_stop', { blocking: true });
    }
    const original = { cmd: 'cat', args: ['state'], sandbox_id: source['sandbox_id'] };
    expect((await run(original)).structured['stdout']).toBe('after\n');
    await server.call('snapshot_delete', { snapshot_id: taken.structured['snapshot_id'] });
  });
});
