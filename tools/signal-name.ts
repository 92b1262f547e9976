import { SandboxError } from '../src/shared/errors.ts';
import { SIGNALS } from '../src/shared/signals.ts';

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
  const byNumber = [...SIGNALS].find(([, number]) => String(number) === wanted);
  const name = byNumber?.[0] ?? (wanted.startsWith('SIG') ? wanted : `SIG${wanted}`);
  if (SIGNALS.has(name)) return name;
  throw new SandboxError('invalid_argument', `${JSON.stringify(given.slice(0, 40))} is no signal.`, {
    hint: `Call command_kill again with one of ${COMMON}, or its number.`,
    details: { signal: given.slice(0, 40) },
  });
}

/** Whether a program that does not catch the signal ends soon after it. */
export function isEndingSignal(name: string): boolean {
  return ENDING.has(name);
}
