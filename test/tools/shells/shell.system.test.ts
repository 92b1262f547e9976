import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../support/server.ts';
import { openShell, output, row, screen } from '../support/shell-support.ts';

let server: RunningServer;
beforeAll(async () => {
  server = await startServer({ args: ['--max-shells', '40'] });
  expect((await server.call('sandbox_create')).isError).toBe(false);
});
afterAll(() => server.close());

describe('a shell', () => {
  it('opens bash with 80 by 24 cells and shows its prompt', async () => {
    const answer = await server.call('sandbox_shell');
    expect(answer.structured).toMatchObject({ cols: 80, rows: 24, alternate_screen: false, exit_code: null });
    expect(screen(answer)).toContain('/vercel/sandbox');
    expect(Object.keys(answer.structured).sort()).toEqual(
      [
        'alternate_screen',
        'cols',
        'cursor',
        'exit_code',
        'highlights',
        'output',
        'rows',
        'screen',
        'shell_id',
      ].sort(),
    );
  });

  it('runs what is typed, on a terminal of its own', async () => {
    const shell = await openShell(server);
    const answer = await shell.send({
      text: 'test -t 0 && test -O "$(tty)" && echo "own $TERM"\n',
      wait_for: 'own x',
    });
    expect(screen(answer)).toContain('own xterm-256color');
    expect(row(answer, 1)).toMatch(/^prompt> test -t 0/);
  });

  it('shows the line that bash holds after an edit between emoji', async () => {
    const shell = await openShell(server);
    await shell.send({ text: 'echo 😀😀abc', keys: ['left', 'left', 'left', 'backspace'] });
    const answer = await shell.send({ keys: ['enter'], wait_for: '\n😀abc' });
    expect([row(answer, 1), row(answer, 2)]).toEqual(['prompt> echo 😀abc', '😀abc']);
  });

  it('returns the output since the last call, once', async () => {
    const shell = await openShell(server);
    const first = await shell.send({ text: 'echo one-$((1 + 1))\n', wait_for: 'one-2' });
    expect(output(first)).toContain('one-2');
    const second = await shell.send({ text: 'echo two-$((1 + 1))\n', wait_for: 'two-2\nprompt>' });
    expect(output(second)).not.toContain('one-2');
    expect(screen(second)).toContain('one-2');
    expect(screen(await shell.send())).toBe(screen(await shell.send()));
    expect(output(await shell.send())).toBe('');
  });

  it('waits for text that the program prints, not for the echo of its input', async () => {
    const shell = await openShell(server);
    const answer = await shell.send({ text: 'sleep 0.3; echo finished\n', wait_for: 'finished' });
    expect(screen(answer).split('\n').slice(1, 2)).toEqual(['finished']);
  });

  it('finds text already on the screen when nothing is sent, and times out for text that never appears', async () => {
    const shell = await openShell(server);
    expect(screen(await shell.send({ wait_for: 'prompt>' }))).toBe('prompt>');
    expect(screen(await shell.send({ wait_for: 'never', wait_ms: 50 }))).toBe('prompt>');
  });

  it('uses its initial size, and a new one', async () => {
    const shell = await openShell(server, { cols: 100, rows: 30 });
    expect(screen(await shell.send({ text: 'stty size\n', wait_for: '30 100' }))).toContain('30 100');
    const answer = await shell.send({ cols: 40, rows: 10, text: 'stty size\n', wait_for: '10 40' });
    expect(answer.structured).toMatchObject({ cols: 40, rows: 10 });
    expect(screen(answer)).toContain('10 40');
  });

  it('interrupts with ctrl-c and continues', async () => {
    const shell = await openShell(server);
    await shell.send({ text: `sh -c 'echo started; exec sleep 1000'; echo over\n`, wait_for: '\nstarted' });
    const answer = await shell.send({ keys: ['ctrl-c'], wait_for: 'prompt>' });
    expect(screen(answer)).toContain('^C');
    expect(screen(await shell.send({ text: 'echo $?\n', wait_for: '130' }))).toContain('130');
  });

  it('reports the exit code, keeps the last screen, and accepts no more input', async () => {
    const shell = await openShell(server);
    await shell.send({ text: 'sleep 1000 & echo last; exit 7\n' });
    await expect.poll(async () => (await shell.send()).structured['exit_code']).toBe(7);
    expect(screen(await shell.send())).toContain('last');
    const refused = await server.call('shell_send', { shell_id: shell.shellId, text: 'x' });
    expect(refused.isError).toBe(true);
    expect(refused.text).toContain('conflict');
    expect(refused.text).toContain('exited with code 7');
    expect(refused.text).toContain('sandbox_shell');
  });

  it('starts any program, with environment, directory and sudo', async () => {
    const command = ['sh', '-c', 'echo "$GREETING $PWD $(id -u)"; read line'];
    const answer = await server.call('sandbox_shell', {
      command,
      env: { GREETING: 'hello' },
      cwd: '/tmp',
      sudo: true,
    });
    expect(screen(answer)).toBe('hello /tmp 0');
  });

  it('reports a missing program by its exit code', async () => {
    const shell = await openShell(server, { command: ['no-such-program'] });
    const answer = await shell.sendUntilExit();
    expect(answer.structured['exit_code']).toBe(127);
    expect(screen(answer)).toBe('no-such-program: command not found');
  });

  it('passes a long paste completely', async () => {
    const shell = await openShell(server, {
      command: ['sh', '-c', 'stty -icanon -echo; echo go; head -c 60000 | md5sum'],
    });
    await shell.send({ wait_for: 'go' });
    const { createHash } = await import('node:crypto');
    const text = 'some text to paste, '.repeat(3_000);
    const sum = createHash('md5').update(text).digest('hex');
    const answer = await shell.send({ text, wait_for: '-' });
    expect(screen(answer)).toContain(sum);
  });
});

describe('bad input', () => {
  const refused = async (name: string, args: Record<string, unknown>): Promise<string> => {
    const answer = await server.call(name, args);
    expect(answer.isError).toBe(true);
    return answer.text;
  };

  it('names an unknown shell and the next step', async () => {
    for (const name of ['shell_send', 'shell_close']) {
      const text = await refused(name, { shell_id: 'shl_none' });
      expect(text).toContain('not_found');
      expect(text).toContain('"shl_none"');
      expect(text).toContain('sandbox_shell');
    }
  });

  it('names an unknown key and the valid ones, and sends nothing', async () => {
    const shell = await openShell(server);
    const text = await refused('shell_send', {
      shell_id: shell.shellId,
      text: 'typed',
      keys: ['enter', 'hyper-x'],
    });
    expect(text).toContain('invalid_argument');
    expect(text).toContain('"hyper-x"');
    expect(text).toContain('ctrl-a to ctrl-z');
    expect(screen(await shell.send({ wait_for: 'prompt>' }))).toBe('prompt>');
  });

  it('limits the window size', async () => {
    const shell = await openShell(server);
    expect(await refused('sandbox_shell', { cols: 501 })).toContain('500');
    expect(await refused('sandbox_shell', { rows: 0 })).toContain('rows');
    expect(await refused('shell_send', { shell_id: shell.shellId, cols: 1 })).toContain('cols');
  });

  it('rejects a missing directory', async () => {
    expect(await refused('sandbox_shell', { cwd: '/no/such' })).toContain('"/no/such"');
  });

  it('opens nothing in a stopped sandbox', async () => {
    const current = (await server.call('session_info')).structured['current_sandbox_id'];
    const { structured } = await server.call('sandbox_create');
    const sandboxId = structured['sandbox_id'];
    await server.call('sandbox_stop', { sandbox_id: sandboxId, blocking: true });
    const text = await refused('sandbox_shell', { sandbox_id: sandboxId });
    expect(text).toContain('conflict');
    expect(text).toContain('sandbox_create');
    await server.call('sandbox_get', { sandbox_id: current });
  });
});
