import { SandboxError } from '../src/shared/errors.ts';

/** Linux's numbers: a sandbox is always Linux, whatever this machine is. */
const NUMBERS: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
};

const COMMON = 'SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGSTOP, SIGCONT';
/** After these a process that catches nothing is gone. */
const ENDING = new Set(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGKILL', 'SIGTERM']);

/**
 * The signal's name from `TERM`, `sigterm`, `SIGTERM` or `15`.
 *
 * @throws `invalid_argument` for anything else, with the common ones
 */
export function signalName(given: string): string {
  const wanted = given.trim().toUpperCase();
  const byNumber = Object.entries(NUMBERS).find(([, number]) => String(number) === wanted);
  const name = byNumber?.[0] ?? (wanted.startsWith('SIG') ? wanted : `SIG${wanted}`);
  if (Object.hasOwn(NUMBERS, name)) return name;
  throw new SandboxError('invalid_argument', `${JSON.stringify(given.slice(0, 40))} is no signal.`, {
    hint: `Call command_kill again with one of ${COMMON}, or its number.`,
    details: { signal: given.slice(0, 40) },
  });
}

/** Whether a program that does not catch the signal ends soon after it. */
export function isEndingSignal(name: string): boolean {
  return ENDING.has(name);
}
