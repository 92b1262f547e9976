/** Typical terminal programs, used as a person would. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../support/server.ts';
import { openShell, output, row, screen } from '../support/shell-support.ts';

let server: RunningServer;
beforeAll(async () => {
  server = await startServer();
  expect((await server.call('sandbox_create')).isError).toBe(false);
});
afterAll(() => server.close());

/** Shorter than the wait of `shell.send` for text that never appears. */
const GIVEN_UP_MS = 40_000;

const has = (name: string): boolean => existsSync(`/usr/bin/${name}`);

describe('interactive programs', () => {
  it('vim: keys, screen cells, the saved file', async (context) => {
    const vim = ['vim', 'vi', 'vim.tiny'].find(has);
    if (vim === undefined) return context.skip('this host has no vim');
    const shell = await openShell(server, { command: [vim, '-u', 'NONE', '-N', '/vercel/sandbox/note.txt'] });
    await shell.send({ wait_for: 'note.txt' });
    const inserted = await shell.send({ text: 'ifirst line\nsecond', wait_for: 'second' });
    expect(inserted.structured).toMatchObject({ alternate_screen: true, cursor: { row: 2, col: 7 } });
    // Up and home in application mode, which vim enables; then changes a word.
    await shell.send({ keys: ['esc', 'up', 'home'], text: '' });
    const changed = await shell.send({ text: 'cwFIRST', keys: ['esc'], wait_for: 'FIRST' });
    expect([row(changed, 1), row(changed, 2), row(changed, 3)]).toEqual(['FIRST line', 'second', '~']);
    expect(output(changed)).toBe('');
    const saved = await shell.sendUntilExit({ text: ':wq\n' });
    expect(saved.structured).toMatchObject({ alternate_screen: false, exit_code: 0 });
    const file = await server.call('sandbox_read_file', { path: 'note.txt' });
    expect(file.structured['content']).toBe('FIRST line\nsecond\n');
  });

  it('top: a screen that repaints itself, quit with q', async (context) => {
    if (!has('top')) return context.skip('this host has no top');
    const shell = await openShell(server);
    const answer = await shell.send({ text: 'top\n', wait_for: 'COMMAND' });
    expect(screen(answer)).toMatch(/^top - /m);
    const left = await shell.send({ text: 'q', wait_for: 'prompt>' });
    expect(left.structured['exit_code']).toBeNull();
  });

  it('python: an interactive prompt', async (context) => {
    if (!has('python3')) return context.skip('this host has no python3');
    const shell = await openShell(server, { command: ['/usr/bin/python3', '-q'] });
    await shell.send({ wait_for: '>>>' });
    expect(screen(await shell.send({ text: '6 * 7\n', wait_for: '42' }))).toContain('6 * 7\n42');
    expect((await shell.sendUntilExit({ keys: ['ctrl-d'] })).structured['exit_code']).toBe(0);
  });

  it('a password prompt: typed text is not shown', async () => {
    const script =
      'read -s -p "Password: " word; echo; echo "$(printf %s "$word" | wc -c) characters"; read -r end';
    const shell = await openShell(server, { command: ['bash', '-c', script] });
    await shell.send({ wait_for: 'Password:' });
    const answer = await shell.send({ text: 'hunter2\n', wait_for: '7 characters' });
    expect(screen(answer)).toBe('Password:\n7 characters');
    expect(output(answer)).not.toContain('hunter2');
  });

  it('the alternate screen: shown while active, and the normal one restored', async () => {
    const shell = await openShell(server);
    const script = `printf '\\033[?1049h\\033[2J\\033[5;10Hmid%s' dle; read -r; printf '\\033[?1049l'`;
    const on = await shell.send({ text: `${script}\n`, wait_for: 'middle' });
    expect(on.structured).toMatchObject({ alternate_screen: true, cursor: { row: 5, col: 16 } });
    expect(row(on, 5)).toBe('         middle');
    expect(output(on)).not.toContain('middle');
    const off = await shell.send({ keys: ['enter'], wait_for: 'prompt>' });
    expect(off.structured['alternate_screen']).toBe(false);
    expect(screen(off)).not.toContain('middle');
    expect(row(off, 1)).toMatch(/^prompt> printf/);
  });

  it('finds text of the typed line at once when a full-screen program shows it', async () => {
    const shell = await openShell(server);
    const script = `printf '\\033[?1049h\\033[2J\\033[Hnotes.txt'; read -r # notes.txt`;
    const started = performance.now();
    const on = await shell.send({ text: `${script}\n`, wait_for: 'notes.txt' });
    expect(on.structured).toMatchObject({ alternate_screen: true, screen: 'notes.txt' });
    expect(performance.now() - started).toBeLessThan(GIVEN_UP_MS);
  });

  it('ends the wait for text that is repainted once the screen is quiet', async () => {
    const script = `printf '\\033[?1049h\\033[2J\\033[Hname'; stty -echo; read -r; printf '\\033[2J\\033[3;3Hname'; read -r`;
    const shell = await openShell(server, { command: ['bash', '-c', script] });
    await shell.send({ wait_for: 'name' });
    const started = performance.now();
    const again = await shell.send({ keys: ['enter'], wait_for: 'name' });
    expect(row(again, 3)).toBe('  name');
    expect(performance.now() - started).toBeLessThan(GIVEN_UP_MS);
  });

  it('arrow keys in the mode of the program', async () => {
    const shell = await openShell(server, { command: ['bash', '-c', 'stty -echo; echo ready; cat -v'] });
    await shell.send({ wait_for: 'ready' });
    expect(screen(await shell.send({ keys: ['up', 'f5', 'enter'], wait_for: '15~' }))).toContain(
      '^[[A^[[15~',
    );
    const mode = await openShell(server, {
      command: ['bash', '-c', `stty -echo; printf '\\033[?1hready\\n'; cat -v`],
    });
    await mode.send({ wait_for: 'ready' });
    expect(screen(await mode.send({ keys: ['up', 'enter'], wait_for: 'OA' }))).toContain('^[OA');
  });
});

describe('escape sequences of a hostile program', () => {
  it('are answered only by the emulator', async () => {
    const script = `stty -echo -icanon; printf '\\033[3;4H\\033[6n'; head -c 6 | cat -v; sleep 1000`;
    const shell = await openShell(server, { command: ['bash', '-c', script] });
    expect(screen(await shell.send({ wait_for: '3;4R' }))).toContain('^[[3;4R');
  });

  it('leave no control characters in a result', async () => {
    const sequences = String.raw`\033]0;title\007\033]52;c;ZXZpbA==\007\033[31mred\033[0m \302\23331mC1 \033P+q544e\033\\ \033[21t \001\002\016 end`;
    const shell = await openShell(server, {
      command: ['bash', '-c', `printf '${sequences}%s' ing; read -r line`],
    });
    const answer = await shell.send({ wait_for: 'ending' });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters must not occur
    expect(answer.text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(JSON.stringify([shell.opened.structured, answer.structured])).not.toMatch(
      /\\u00[0189]|title|ZXZp/,
    );
    expect(screen(answer)).toContain('red');
  });

  it('cannot flood the server: a program that never stops writing is throttled and closed', async () => {
    const shell = await openShell(server, { command: ['yes'] });
    expect(screen(shell.opened)).toContain('y\ny\n');
    // A server that never stops reading would not get here.
    expect((await server.call('session_info')).isError).toBe(false);
    const closed = await server.call('shell_close', { shell_id: shell.shellId });
    expect(closed.structured['exit_code']).toBe(129);
  });
});
