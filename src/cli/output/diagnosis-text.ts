import type { Diagnosis, Finding } from '../../engines/engine.ts';
import { commandLine } from './command-line.ts';

const MARKS: Record<Finding['level'], string> = { ok: 'ok     ', warning: 'warning', error: 'error  ' };

/** The findings as text: a heading per engine, a line per finding, and below it the command that fixes it. */
export function diagnosisText(diagnoses: readonly Diagnosis[], isRoot: boolean): string {
  return diagnoses.map((diagnosis) => engineText(diagnosis, isRoot)).join('');
}

function engineText(diagnosis: Diagnosis, isRoot: boolean): string {
  const { engine, works, findings } = diagnosis;
  const [only, ...more] = findings;
  if (!works && only?.level === 'warning' && only.advice === null && more.length === 0) {
    return `${engine}: ${only.text}\n`;
  }
  return `${engine}: ${works ? 'works here' : 'does not work here'}\n${findings.map((finding) => findingText(finding, isRoot)).join('')}`;
}

function findingText(finding: Finding, isRoot: boolean): string {
  const lines = [`  ${MARKS[finding.level]}  ${finding.text}`];
  if (finding.level !== 'ok') {
    if (finding.remedy.length > 0) lines.push(`           ${remedyText(finding, isRoot)}`);
    if (finding.advice !== null) lines.push(`           ${finding.advice}`);
  }
  return `${lines.join('\n')}\n`;
}

function remedyText({ remedy, remedyNeedsRoot }: Finding, isRoot: boolean): string {
  const sudo = remedyNeedsRoot && !isRoot ? 'sudo ' : '';
  return remedy.map((step) => `${sudo}${commandLine(step)}`).join(' && ');
}
