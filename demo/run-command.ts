/** Runs programs in the sandbox through the tools, as an agent does. */
import { type CommandAnswer, commandAnswer } from './answers.ts';
import { NewestLines } from './newest-lines.ts';
import type { Program } from './project.ts';
import type { Screen } from './screen.ts';
import type { DemoServer } from './server.ts';

const TAIL_LINES = 8;

/**
 * Runs a program to its end and shows its newest lines meanwhile. If `wait_ms` is over first, it continues
 * waiting.
 */
export async function runToEnd(
  server: DemoServer,
  program: Program,
  cwd: string,
  screen: Screen | null,
): Promise<CommandAnswer> {
  const lines = new NewestLines((line) => screen?.output(line));
  const { cmd, args } = program;
  const options = screen === null ? {} : { onProgress: (line: string) => lines.add(line) };
  let command = await server.call('sandbox_run_command', { cmd, args, cwd }, commandAnswer, options);
  while (command.status === 'running') {
    command = await server.call('command_wait', { command_id: command.command_id }, commandAnswer, options);
  }
  // Progress shows only the newest line at a time, so the end of the output must be read separately.
  lines.end(tailOf(command));
  return command;
}

/** `exit 0`, `exit 1 (timeout)`. */
export function outcomeOf(command: CommandAnswer): string {
  const how = command.ended_by === 'exit' ? '' : ` (${command.ended_by})`;
  return `exit ${command.exit_code}${how}`;
}

function tailOf({ stdout, stderr }: CommandAnswer): string[] {
  const text = stdout.trim() === '' ? stderr : stdout;
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-TAIL_LINES);
}

/** Which of these programs the sandbox has. */
export async function programsIn(server: DemoServer, names: readonly string[]): Promise<string[]> {
  const title = 'look for programs';
  const program = {
    title,
    cmd: 'sh',
    args: ['-c', 'for name; do command -v "$name"; done', title, ...names],
  };
  const { stdout } = await runToEnd(server, program, '/', null);
  const found = stdout.split('\n').map((path) => path.slice(path.lastIndexOf('/') + 1));
  return names.filter((name) => found.includes(name));
}
