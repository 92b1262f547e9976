/** The life of a shell: it depends on its session, its sandbox, its server and the limits. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { type RunningServer, startServer } from '../../support/server.ts';
import { TIMEOUT_FACTOR } from '../../support/timeout-factor.ts';
import { BASH, openShell, screen } from '../support/shell-support.ts';

async function started(args: string[] = []): Promise<RunningServer> {
  const server = await startServer({ args });
  onTestFinished(() => server.close());
  return server;
}

/** The number of processes in the current sandbox whose command line matches this expression. */
async function count(server: RunningServer, word: string): Promise<number> {
  const script = `cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' ' | grep -o "${word}" | wc -l`;
  const answer = await server.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
  return Number(answer.structured['stdout']);
}

/** Programs that survive a hangup of their terminal, one of them in a separate session. */
const STUBBORN = 'trap "" HUP; (setsid sleep 4321 &); echo up; sleep 4321';

describe('a shell ends', () => {
  it('with shell_close, including all its processes', async () => {
    const server = await started();
    await server.call('sandbox_create');
    const shell = await openShell(server, { command: ['bash', '-c', STUBBORN] });
    expect(screen(await shell.send({ wait_for: 'up' }))).toBe('up');
    expect(await count(server, 'sleep 432[1]')).toBeGreaterThanOrEqual(2);
    const closed = await server.call('shell_close', { shell_id: shell.shellId });
    expect(closed.structured['exit_code']).toBeGreaterThan(128);
    expect(await count(server, 'sleep 432[1]')).toBe(0);
    const again = await server.call('shell_close', { shell_id: shell.shellId });
    expect(again).toMatchObject({
      isError: false,
      structured: { exit_code: closed.structured['exit_code'] },
    });
    const typed = await server.call('shell_send', { shell_id: shell.shellId, text: 'x' });
    expect(typed.text).toContain('has exited');
  });

  it('with its session, even in a kept sandbox', async () => {
    const first = await startServer({ args: ['--on-disconnect', 'keep'] });
    const { stateDir } = first;
    const second = await startServer({ stateDir });
    onTestFinished(() => second.close());
    const { structured } = await first.call('sandbox_create', { keep: true });
    const shell = await openShell(first, { command: ['bash', '-c', STUBBORN] });
    await shell.send({ wait_for: 'up' });
    await second.call('sandbox_get', { sandbox_id: structured['sandbox_id'] });
    expect(await count(second, 'sleep 432[1]')).toBeGreaterThanOrEqual(2);
    await first.client.close();
    // The client may have had to kill a server that was slow to end; the agent then ends the shell by itself.
    await expect.poll(() => count(second, 'sleep 432[1]')).toBe(0);
    await second.call('sandbox_stop', { blocking: true });
    await first.close();
  });

  it('when its server is killed', async () => {
    const first = await startServer();
    const second = await startServer({ stateDir: first.stateDir });
    const { structured } = await first.call('sandbox_create', { keep: true });
    const sandboxId = structured['sandbox_id'];
    const shell = await openShell(first, { command: ['bash', '-c', STUBBORN] });
    await shell.send({ wait_for: 'up' });
    await second.call('sandbox_get', { sandbox_id: sandboxId });
    process.kill(first.pid, 'SIGKILL');
    // The agent notices the closed connection; a command in the sandbox waits for the result.
    const script = 'while pgrep -f "sleep 432[1]" > /dev/null; do sleep 0.05; done; echo gone';
    const waited = await second.call('sandbox_run_command', { cmd: 'bash', args: ['-c', script] });
    expect(waited.structured).toMatchObject({ exit_code: 0, stdout: 'gone\n' });
    await second.call('sandbox_stop', { blocking: true });
    await second.close();
    await first.close();
  });

  it('with its sandbox, and says so', async () => {
    const server = await started();
    await server.call('sandbox_create');
    const shell = await openShell(server);
    await server.call('sandbox_stop', { blocking: true });
    const answer = await shell.send({ wait_for: 'nothing' });
    expect(answer.structured['exit_code']).toBe(137);
    const refused = await server.call('shell_send', { shell_id: shell.shellId, text: 'x' });
    expect(refused.text).toContain('conflict');
  });

  it('with a snapshot of its sandbox, which a later shell_send then names', async () => {
    const server = await started();
    await server.call('sandbox_create');
    const shell = await openShell(server);
    await server.call('sandbox_snapshot');
    const typed = await server.call('shell_send', { shell_id: shell.shellId, text: 'x' });
    expect(typed.text).toMatch(/^Error \(conflict\): Sandbox \S+ is stopped: taking a snapshot stopped it/);
    expect(typed.text).toContain('snapshot_list');
  });
});

describe('a cancelled call', () => {
  it('leaves no shell', async () => {
    const server = await started();
    await server.call('sandbox_create');
    const cancel = new AbortController();
    // It prints nothing, so the open call keeps waiting.
    const opening = server.call('sandbox_shell', { command: ['sleep', '1000'] }, { signal: cancel.signal });
    const listed = async () => (await server.call('session_info')).structured['shells'];
    await expect.poll(listed, { interval: 10 }).toHaveLength(1);
    cancel.abort();
    await expect(opening).rejects.toThrow();
    await expect.poll(listed, { interval: 10 }).toEqual([]);
  });
});

describe('an open request that the sandbox does not answer', () => {
  it('ends with its call and frees its place', async () => {
    const server = await started(['--max-shells', '1']);
    const silent = String((await server.call('sandbox_create')).structured['sandbox_id']);
    await server.call('sandbox_create');
    const record: unknown = JSON.parse(
      await readFile(join(server.stateDir, 'sandboxes', silent, 'record.json'), 'utf8'),
    );
    const { pid } = z.object({ init: z.object({ pid: z.int() }) }).parse(record).init;
    process.kill(pid, 'SIGSTOP');
    onTestFinished(() => {
      process.kill(pid, 'SIGCONT');
    });
    const cancel = new AbortController();
    const opening = server.call('sandbox_shell', { sandbox_id: silent }, { signal: cancel.signal });
    await expect.poll(async () => (await server.call('sandbox_shell')).text).toContain('limit_exceeded');
    cancel.abort();
    await expect(opening).rejects.toThrow();
    await expect.poll(async () => (await server.call('sandbox_shell')).isError).toBe(false);
  });
});

describe('the session', () => {
  it('lists its open shells only', async () => {
    const server = await started();
    const { structured } = await server.call('sandbox_create');
    const shell = await openShell(server);
    const listed = async () => (await server.call('session_info')).structured['shells'];
    expect(await listed()).toEqual([
      {
        shell_id: shell.shellId,
        sandbox_id: structured['sandbox_id'],
        command: BASH,
        opened_at: expect.any(Number),
      },
    ]);
    await shell.sendUntilExit({ text: 'exit\n' });
    expect(await listed()).toEqual([]);
  });

  it('limits its shells and frees their places', async () => {
    const server = await started(['--max-shells', '2']);
    await server.call('sandbox_create');
    const first = await openShell(server);
    await openShell(server);
    const refused = await server.call('sandbox_shell');
    expect(refused.text).toContain('limit_exceeded');
    expect(refused.text).toContain('shell_close');
    await server.call('shell_close', { shell_id: first.shellId });
    const third = await openShell(server);
    await third.sendUntilExit({ text: 'exit\n' });
    await openShell(server);
    expect((await server.call('session_info')).structured['limits']).toMatchObject({ max_shells: 2 });
  });

  it('keeps a sandbox alive past its timeout while a shell is open in it', async () => {
    const server = await started();
    const seconds = 5 * TIMEOUT_FACTOR;
    const { structured } = await server.call('sandbox_create', { timeout_ms: seconds * 1_000 });
    const shell = await openShell(server);
    let answer = await shell.send({ text: `sleep ${seconds + 1}; echo still-$((1 + 1))\n` });
    while (!screen(answer).includes('still-2')) answer = await shell.send({ wait_for: 'still-2' });
    const view = await server.call('sandbox_get');
    expect(view.structured['status']).toBe('running');
    expect(Number(view.structured['expires_at'])).toBeGreaterThan(Number(structured['expires_at']));
  });
});
