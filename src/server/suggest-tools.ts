import { closestNames } from './closest-names.ts';

/** Typos; for anything further away, the meaning of the words is a better guide than their letters. */
const TYPO_EDITS = 2;

const RUN = ['sandbox_run_command', 'sandbox_shell'];
const TYPE = ['sandbox_shell', 'sandbox_run_command'];

/** Names that other servers use for what these tools do. */
const SYNONYMS: ReadonlyMap<string, readonly string[]> = new Map([
  ['exec', RUN],
  ['execute', RUN],
  ['run', RUN],
  ['bash', RUN],
  ['sh', RUN],
  ['cmd', RUN],
  ['code', RUN],
  ['python', RUN],
  ['shell', TYPE],
  ['terminal', TYPE],
  ['console', TYPE],
  ['repl', TYPE],
]);

/**
 * The tools of `names` that a call of an unknown tool may have meant, best first; empty if nothing matches.
 */
export function suggestTools(unknown: string, names: readonly string[]): string[] {
  const typo = closestNames(unknown, names, TYPO_EDITS);
  if (typo.length > 0) return typo;
  // The input may have any length. Words are separated by a change of case or by non-letters.
  const words = unknown.slice(0, 64).match(/[A-Z]?[a-z]+|[A-Z]+/g) ?? [];
  const synonyms = words.flatMap((word) => SYNONYMS.get(word.toLowerCase()) ?? []);
  const meant = [...new Set(synonyms)].filter((name) => names.includes(name));
  return meant.length > 0 ? meant : closestNames(unknown, names);
}
