import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Shell, ShellExit } from '../../../src/engines/engine.ts';
import { ShellTerminal } from '../../../src/registry/session/shell-terminal.ts';
import { waitForScreen } from '../../../tools/shells/shell-wait.ts';
import { neverAborted } from '../../registry/support/registry.ts';

const BEFORE_ALL = { position: 0, changes: 0, shown: 0, echoed: 0, alternateScreen: false };
const NEVER_MS = 2 ** 31 - 1;
/** Several times as long as output has to stop for. */
const LONG_SILENCE_MS = 1_000;
const TO_ALTERNATE_SCREEN = '\u001b[?1049h\u001b[2J';

/** A terminal whose program is the test. */
function terminal(): { terminal: ShellTerminal; print: (text: string) => void; exit: () => void } {
  const output = new PassThrough();
  let exited: (exit: ShellExit) => void = () => {};
  const exit = new Promise<ShellExit>((resolve) => {
    exited = resolve;
  });
  const shell: Shell = {
    output,
    exit,
    write: () => Promise.resolve(),
    resize: () => Promise.resolve(),
    close: () => exit,
  };
  return {
    terminal: new ShellTerminal(shell, 80, 24),
    print: (text) => output.write(text),
    exit: () => {
      exited({ exitCode: 0, signal: null });
      output.end();
    },
  };
}

describe('the first screen of a terminal', () => {
  it('waits until a full-screen program has painted its screen', async () => {
    const program = terminal();
    const wait = { waitFor: null, waitMs: NEVER_MS, reactionMs: 10 };
    program.print(TO_ALTERNATE_SCREEN);
    await program.terminal.waitForChange(0, neverAborted);
    const shown = waitForScreen(program.terminal, wait, BEFORE_ALL, neverAborted);
    expect(await Promise.race([shown.then(() => 'answered'), sleep(LONG_SILENCE_MS, 'waiting')])).toBe(
      'waiting',
    );
    program.print('\u001b[5;5H');
    program.print('painted');
    await shown;
    expect(program.terminal.view()).toMatchObject({ text: '\n\n\n\n    painted', alternateScreen: true });
  });

  it('does not wait for a program that has exited, nor for text on a screen that the program only cleared', async () => {
    const left = terminal();
    const shown = waitForScreen(
      left.terminal,
      { waitFor: null, waitMs: NEVER_MS, reactionMs: NEVER_MS },
      BEFORE_ALL,
      neverAborted,
    );
    left.print(TO_ALTERNATE_SCREEN);
    left.exit();
    await shown;
    const cleared = terminal();
    cleared.print('\u001b[2J');
    const wait = { waitFor: null, waitMs: NEVER_MS, reactionMs: 10 };
    await waitForScreen(cleared.terminal, wait, BEFORE_ALL, neverAborted);
    expect(cleared.terminal.isBlank).toBe(true);
  });

  it('gives a program on an ordinary screen time to print its first text', async () => {
    const program = terminal();
    const wait = { waitFor: null, waitMs: NEVER_MS, reactionMs: NEVER_MS };
    const shown = waitForScreen(program.terminal, wait, BEFORE_ALL, neverAborted);
    program.print('\u001b[?2004h');
    expect(await Promise.race([shown.then(() => 'answered'), sleep(LONG_SILENCE_MS, 'waiting')])).toBe(
      'waiting',
    );
    program.print('$ ');
    await shown;
    expect(program.terminal.view().text).toBe('$');
  });
});
