import { nameOfSignal, signalNumber } from '../../src/shared/signals.ts';

/** After these a process that catches nothing is gone. */
const ENDING = new Set(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGKILL', 'SIGTERM']);

/**
 * The signal's name from `TERM`, `sigterm`, `SIGTERM` or `15`; the number of one that has no name.
 *
 * @throws `invalid_argument` for anything else, with the common ones
 */
export function signalName(given: string): string {
  const number = signalNumber(given);
  return nameOfSignal(number) ?? String(number);
}

/** Whether a program that does not catch the signal ends soon after it. */
export function isEndingSignal(name: string): boolean {
  // Only real-time signals have no name, and each of them ends such a program.
  return ENDING.has(name) || /^\d+$/.test(name);
}
