import type { Command } from '../../engines/engine.ts';
import type { Session } from '../../registry/types.ts';
import { printable, printOutput } from '../output/print-output.ts';
import type { Terminal } from '../output/terminal.ts';

/**
 * Prints the output of a command, or of each command of a sandbox below a heading. Rejects with `not_found`
 * for an unknown id.
 */
export async function logs(
  session: Session,
  id: string,
  follow: boolean,
  terminal: Terminal,
): Promise<number> {
  const { signal } = new AbortController();
  if (id.startsWith('cmd_')) {
    const handle = await session.command(id);
    await printOutput(handle, await handle.get(signal), follow, terminal, signal);
    return 0;
  }
  const handle = await session.sandbox(id);
  for (const command of await handle.commands(signal)) {
    terminal.out(`== ${command.commandId}  ${headline(command.seen)}\n`);
    await printOutput(command, command.seen, follow, terminal, signal);
  }
  return 0;
}

function headline(command: Command): string {
  const outcome = command.exitCode === null ? 'running' : `exit code ${command.exitCode}`;
  return `${printable([command.cmd, ...command.args].join(' '))}  (${outcome})`;
}
