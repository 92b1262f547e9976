import type { Diagnosis } from '../../engines/engine.ts';
import { diagnosisText } from '../output/diagnosis-text.ts';
import type { Terminal } from '../output/terminal.ts';
import { applyRemedies } from './apply-remedies.ts';

/** Fixing one problem can reveal the next; a fix that does not help must not be retried forever. */
const MAX_ROUNDS = 3;

export interface DoctorOptions {
  fix: boolean;
  json: boolean;
  isRoot: boolean;
  /** The words before a command that has to run as root; null if this user cannot run it. */
  asRoot(): Promise<readonly string[] | null>;
}

/**
 * Reports for each engine whether it works here and how to fix it; with `fix`, applies the fixes first.
 * `diagnose` returns the chosen engine first. Returns exit code 0 if that one works, 1 otherwise.
 */
export async function doctor(
  options: DoctorOptions,
  diagnose: () => Promise<Diagnosis[]>,
  terminal: Terminal,
): Promise<number> {
  let diagnoses = await diagnose();
  const tried = new Set<string>();
  const prefix = options.fix ? await options.asRoot() : null;
  for (let round = 0; options.fix && round < MAX_ROUNDS; round += 1) {
    const findings = diagnoses.flatMap((diagnosis) => diagnosis.findings);
    if (!(await applyRemedies(findings, prefix, tried, terminal))) break;
    diagnoses = await diagnose();
  }
  terminal.out(
    options.json ? `${JSON.stringify(diagnoses, null, 2)}\n` : diagnosisText(diagnoses, options.isRoot),
  );
  return diagnoses[0]?.works === true ? 0 : 1;
}
