import type { Finding } from '../../engine.ts';
import { type Distro, installSteps, type Need } from './distro.ts';

/** A check that passed. */
export function ok(text: string): Finding {
  return { level: 'ok', text, remedy: [], remedyNeedsRoot: false, advice: null };
}

/** A problem that only a person can fix. */
export function advise(level: 'warning' | 'error', text: string, advice: string): Finding {
  return { level, text, remedy: [], remedyNeedsRoot: false, advice };
}

/** A problem that root can fix with these steps. */
export function fixAsRoot(
  level: 'warning' | 'error',
  text: string,
  remedy: string[][],
  advice: string | null = null,
): Finding {
  return { level, text, remedy, remedyNeedsRoot: true, advice };
}

/** A missing package: this distribution's install steps, or on an unknown one the name of what to install. */
export function install(
  level: 'warning' | 'error',
  text: string,
  distro: Distro,
  need: Need,
  what: string,
): Finding {
  const steps = installSteps(distro, need);
  return steps.length > 0
    ? fixAsRoot(level, text, steps)
    : advise(level, text, `Install ${what} with the package manager of ${distro.name}.`);
}

/** A step that writes a small file, as a plain program call that also works with `sudo`. */
export function writeFileStep(path: string, lines: readonly string[]): string[] {
  const text = lines.map((line) => line.replaceAll('\\', '\\\\').replaceAll('"', '\\"')).join('\\n');
  return ['awk', `BEGIN { print "${text}" > "${path}" }`];
}
