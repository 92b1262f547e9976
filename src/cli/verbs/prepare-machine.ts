/** Prepares this machine for the local engine when a client is set up, so that nothing else has to be run first. */
import type { Diagnosis } from '../../engines/engine.ts';
import { diagnosisText } from '../output/diagnosis-text.ts';
import type { Terminal } from '../output/terminal.ts';
import { doctor } from './doctor.ts';

export interface MachineSurroundings {
  /** Every engine, the chosen one first. */
  diagnose(): Promise<Diagnosis[]>;
  /** The words before a command that has to run as root; null if this user cannot run it. */
  asRoot(): Promise<readonly string[] | null>;
  /** Resolves to the line that the user types; null if nobody can be asked. */
  ask(question: string): Promise<string | null>;
  readonly isRoot: boolean;
  readonly terminal: Terminal;
}

/** Does nothing if sandboxes work. Otherwise says what is missing, and runs the fixes if the user agrees. */
export async function prepareMachine(yes: boolean, surroundings: MachineSurroundings): Promise<void> {
  const { diagnose, asRoot, ask, isRoot, terminal } = surroundings;
  const [chosen] = await diagnose();
  // The cloud needs credentials, which the client may have and this process may lack.
  if (chosen?.engine !== 'oci' || chosen.works) return;
  terminal.err(`Sandboxes do not work on this machine yet.\n${diagnosisText([chosen], isRoot)}`);
  const prefix = await asRoot();
  const fixes = chosen.findings.filter(
    ({ level, remedy, remedyNeedsRoot }) =>
      level !== 'ok' && remedy.length > 0 && (prefix !== null || !remedyNeedsRoot),
  );
  const agreed = fixes.length > 0 && (yes || (await agrees(ask)));
  if (agreed) {
    const options = { fix: true, json: false, isRoot, asRoot: async () => prefix };
    if ((await doctor(options, diagnose, terminal)) === 0) return;
  }
  terminal.err('The client is set up all the same. Run `sandbox-mcp doctor` once the above is fixed.\n');
}

async function agrees(ask: MachineSurroundings['ask']): Promise<boolean> {
  const answer = await ask('Run these commands? [y/N] ');
  return answer !== null && /^y(es)?$/i.test(answer.trim());
}
