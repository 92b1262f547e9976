import { constants } from 'node:os';
import { SandboxError } from './errors.ts';

const NAMES = new Map<string, number>(Object.entries(constants.signals));
const LAST_SIGNAL = 64;

/**
 * The number of a signal given as `SIGTERM`, `term` or `15` (signal(7)).
 * @throws `invalid_argument` naming the usual ones
 */
export function signalNumber(text: string): number {
  const upper = text.trim().toUpperCase();
  const byName = NAMES.get(upper) ?? NAMES.get(`SIG${upper}`);
  const number = byName ?? (/^\d{1,2}$/.test(upper) ? Number(upper) : 0);
  if (number >= 1 && number <= LAST_SIGNAL) return number;
  throw new SandboxError('invalid_argument', `"${text.slice(0, 40)}" is not a signal.`, {
    hint: 'Use SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGSTOP, SIGCONT, or a number from 1 to 64.',
    details: { signal: text.slice(0, 40) },
  });
}
