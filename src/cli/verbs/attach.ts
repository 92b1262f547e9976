import type { Shell, ShellExit } from '../../engines/engine.ts';
import type { Session } from '../../registry/types.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { Terminal } from '../output/terminal.ts';
import type { Keyboard } from './keyboard.ts';

const COMMAND = ['/bin/bash'];
const ESC = '\u001b';
/**
 * Resets modes that a program may have left on when it was cut off: alternate screen, hidden cursor,
 * application keys, mouse, bracketed paste, colours (xterm's control sequences).
 */
const RESTORE = `${ESC}[?47l${ESC}[?25h${ESC}[?1l${ESC}>${ESC}[?1000l${ESC}[?1002l${ESC}[?1003l${ESC}[?1006l${ESC}[?2004l${ESC}[0m`;

/**
 * Opens a shell in a sandbox on the user's own terminal, until the shell ends. Returns its exit code. Rejects
 * with `invalid_argument` without a terminal, with `conflict` if the sandbox is not running.
 */
export async function attach(
  session: Session,
  sandboxId: string,
  keyboard: Keyboard | null,
  terminal: Terminal,
): Promise<number> {
  if (keyboard === null) {
    throw new SandboxError('invalid_argument', '`attach` needs a terminal for its input and output.', {
      hint: 'Run it in a terminal, without pipes or redirections.',
    });
  }
  const { signal } = new AbortController();
  const handle = await session.sandbox(sandboxId);
  const request = { command: COMMAND, env: {}, cwd: null, sudo: false, ...keyboard.size() };
  const shell = await handle.openRawShell(request, signal);
  const { exitCode } = await runShell(shell, keyboard, terminal);
  return exitCode;
}

async function runShell(shell: Shell, keyboard: Keyboard, terminal: Terminal): Promise<ShellExit> {
  const leave = keyboard.listen({
    typed: (data) => void shell.write(data),
    resized: (cols, rows) => void shell.resize(cols, rows),
    ended: () => void shell.close(),
  });
  try {
    for await (const chunk of shell.output) terminal.out(chunk);
    return await shell.exit;
  } finally {
    leave();
    terminal.out(RESTORE);
  }
}
