import { nameOfSignal, signalNumber } from '../../src/shared/signals.ts';

/** Signals that end any process that does not catch them. */
const ENDING = new Set(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGKILL', 'SIGTERM']);

/**
 * The signal's name from `TERM`, `sigterm`, `SIGTERM` or `15`; the number if it has no name.
 *
 * @throws `invalid_argument` for anything else, listing the common ones
 */
export function signalName(given: string): string {
  const number = signalNumber(given);
  return nameOfSignal(number) ?? String(number);
}

/** Whether a program that does not catch the signal ends soon after it. */
export function isEndingSignal(name: string): boolean {
  // Only real-time signals have no name, and each of them ends a program that does not catch it.
  return ENDING.has(name) || /^\d+$/.test(name);
}
