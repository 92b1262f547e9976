import type { Command } from '../../src/engines/engine.ts';
import { shortened } from './command-arguments.ts';
import type { CapturedOutput } from './command-output.ts';

/**
 * What to do instead if a command cannot have done what was intended, or the likely cause of its failure;
 * null if unknown.
 */
export function hintFor(command: Command, output: CapturedOutput): string | null {
  if (command.exitCode === 127 && isShellLine(command.cmd)) {
    const script = JSON.stringify(shortened([command.cmd, ...command.args].join(' ')));
    return `cmd is the name of one program, not a shell line: sandbox_run_command cmd: "bash", args: ["-c", ${script}]`;
  }
  if (command.exitCode !== 0 && output.stderr.split('\n').some(isSudoFailure))
    return 'sudo does not work inside the sandbox: leave it out, and pass sudo: true to sandbox_run_command';
  if (isEmptyInput(command)) {
    const line = JSON.stringify([command.cmd]);
    return `It read an empty stdin and exited: pass a program in args, or use sandbox_shell command=${line} to type`;
  }
  if (isBusError(command, output)) return BUS_ERROR;
  return STREAMS.some((stream) => output[stream].split('\n').some(isRefusedTracing)) ? NO_TRACING : null;
}

/** True for the messages of shells without sudo, and of sudo under no_new_privs. */
function isSudoFailure(line: string): boolean {
  const at = line.startsWith(SUDO) ? 0 : line.lastIndexOf(`: ${SUDO}`) + 2;
  if (at === 1) return false;
  const problem = line.slice(at + SUDO.length);
  return SUDO_PROBLEMS.some((text) => problem.startsWith(text)) || problem.includes('no new privileges');
}

const SUDO = 'sudo: ';
const SUDO_PROBLEMS = ['command not found', 'not found'];

const STREAMS = ['stderr', 'stdout'] as const;

/** Also that of a child, as shells report it. */
function isBusError({ signal, exitCode }: Command, { stderr }: CapturedOutput): boolean {
  if (signal === 'SIGBUS' || exitCode === BUS_ERROR_EXIT) return true;
  return exitCode !== 0 && stderr.split('\n').some((line) => line.includes('Bus error'));
}

const BUS_ERROR_EXIT = 128 + 7;
const BUS_ERROR =
  'SIGBUS: a file mapped into memory has no room or was truncated. Check df -h /dev/shm /tmp: /dev/shm holds half of the memory, and sandbox_create with more resources.vcpus has more';

/** True for the messages of strace, gdb, ltrace and others. */
function isRefusedTracing(line: string): boolean {
  return /ptrace/i.test(line) && line.includes('Operation not permitted');
}

const NO_TRACING =
  'Tracing is limited to processes of the same user, on some hosts to those that the tracer started: start the program under strace or gdb. If that is refused too, this host does not allow tracing';

/** An interpreter without a program reads one from stdin, and exits silently if that is empty. */
function isEmptyInput({ cmd, args, exitCode, stdoutBytes, stderrBytes }: Command): boolean {
  return INTERPRETERS.test(cmd) && args.length === 0 && exitCode === 0 && stdoutBytes + stderrBytes === 0;
}

const INTERPRETERS = /^(?:\/.*\/)?(?:ba|da|z)?sh$|^(?:\/.*\/)?(?:python[0-9.]*|node|ruby|perl|php|lua)$/;

/** Blanks, operators and shell builtins are not program names. */
function isShellLine(cmd: string): boolean {
  return /[\s;&|<>$`*?(){}=~]/.test(cmd) || SHELL_WORDS.has(cmd);
}

const SHELL_WORDS = new Set([
  'cd',
  'export',
  'source',
  '.',
  'alias',
  'set',
  'unset',
  'ulimit',
  'exit',
  'eval',
  'exec',
]);
