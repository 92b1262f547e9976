/** How the program ends after an error, with its message for a person. */
import { type Command, CommanderError } from 'commander';
import { ConfigError } from '../config/setting.ts';
import { SandboxError } from '../shared/errors.ts';
import { cliHint } from './output/cli-hint.ts';
import type { Terminal } from './output/terminal.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Prints the error. @throws any other than those of commander, the configuration and this program */
export function exitCodeOf(error: unknown, program: Command, terminal: Terminal): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    terminal.err(`sandbox-mcp: ${usageProblem(error, program)}\nRun \`sandbox-mcp --help\` for usage.\n`);
    return EXIT_USAGE;
  }
  if (error instanceof ConfigError) {
    terminal.err(`sandbox-mcp: ${error.message}\n${error.hint}\n`);
    return EXIT_USAGE;
  }
  if (error instanceof SandboxError) {
    terminal.err(`sandbox-mcp: ${error.message}\n${cliHint(error)}\n`);
    return EXIT_FAILED;
  }
  throw error;
}

function usageProblem(error: CommanderError, program: Command): string {
  const verbs = program.commands.map((command) => command.name());
  // The program itself takes no arguments, so commander reports an unknown subcommand as an excess argument.
  const [unknown, second] = program.args;
  const within = program.commands.find((command) => command.name() === unknown)?.commands ?? [];
  if (error.code === 'commander.unknownCommand' && within.length > 0) {
    const valid = within.map((command) => command.name()).join(', ');
    return `${JSON.stringify(second)} is not a subcommand of ${unknown}; valid ones are ${valid}.`;
  }
  if (error.code === 'commander.help') return `${unknown} needs a subcommand.`;
  if (error.code === 'commander.excessArguments' && unknown !== undefined && !verbs.includes(unknown)) {
    return `${JSON.stringify(unknown)} is not a subcommand; valid ones are ${verbs.join(', ')}.`;
  }
  return error.message.replace(/^error: /, '');
}
