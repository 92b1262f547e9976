import type { Finding } from '../../engine.ts';
import { type Distro, installSteps, type Need } from './distro.ts';

/** Something that is as it should be. */
export function ok(text: string): Finding {
  return { level: 'ok', text, remedy: [], remedyNeedsRoot: false, advice: null };
}

/** Something amiss that only a person can mend. */
export function advise(level: 'warning' | 'error', text: string, advice: string): Finding {
  return { level, text, remedy: [], remedyNeedsRoot: false, advice };
}

/** Something amiss that root can mend by these steps. */
export function fixAsRoot(
  level: 'warning' | 'error',
  text: string,
  remedy: string[][],
  advice: string | null = null,
): Finding {
  return { level, text, remedy, remedyNeedsRoot: true, advice };
}

/** A missing package: the steps of this distribution, or on an unknown one the name of what is looked for. */
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
    : advise(level, text, `Install ${what} by the package manager of ${distro.name}.`);
}

/** A step that writes a small file, as a plain program call that also works behind `sudo`. */
export function writeFileStep(path: string, lines: readonly string[]): string[] {
  const text = lines.map((line) => line.replaceAll('\\', '\\\\').replaceAll('"', '\\"')).join('\\n');
  return ['awk', `BEGIN { print "${text}" > "${path}" }`];
}
