import { SandboxError } from './errors.ts';

/** Linux's signal numbers by name: a sandbox is always Linux, whatever the host is (signal(7)). */
export const SIGNALS: ReadonlyMap<string, number> = new Map(
  Object.entries({
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
  }),
);
const NAMES = new Map([...SIGNALS].map(([name, number]) => [number, name]));
const LAST_SIGNAL = 64;
/** The grace period between SIGTERM and SIGKILL for a command that has timed out. */
export const TIMEOUT_GRACE_MS = 5_000;

/** `SIGTERM` for 15; null for a number without a name, such as real-time signals. */
export function nameOfSignal(number: number): string | null {
  return NAMES.get(number) ?? null;
}

/**
 * The number of a signal given as `SIGTERM`, `term` or `15`.
 * @throws `invalid_argument` naming the common ones
 */
export function signalNumber(text: string): number {
  const upper = text.trim().toUpperCase();
  const byName = SIGNALS.get(upper) ?? SIGNALS.get(`SIG${upper}`);
  const number = byName ?? (/^\d{1,2}$/.test(upper) ? Number(upper) : 0);
  if (number >= 1 && number <= LAST_SIGNAL) return number;
  throw new SandboxError('invalid_argument', `${JSON.stringify(text.slice(0, 40))} is not a signal.`, {
    hint: 'Use SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGSTOP, SIGCONT, or a number from 1 to 64.',
    details: { signal: text.slice(0, 40) },
  });
}
