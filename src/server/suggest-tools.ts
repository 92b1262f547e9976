import { closestNames } from './closest-names.ts';

/** A slip of the keys; further away, what the words mean says more than their letters. */
const TYPO_EDITS = 2;

const RUN = ['sandbox_run_command', 'sandbox_shell'];
const TYPE = ['sandbox_shell', 'sandbox_run_command'];

/** What other servers call what these tools do. */
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

/** The tools of `names` that a call of an unknown one may have meant, best first; empty where that is anybody's guess. */
export function suggestTools(unknown: string, names: readonly string[]): string[] {
  const typo = closestNames(unknown, names, TYPO_EDITS);
  if (typo.length > 0) return typo;
  // A name of any length may come in. Words are told apart by case or by whatever is no letter.
  const words = unknown.slice(0, 64).match(/[A-Z]?[a-z]+|[A-Z]+/g) ?? [];
  const synonyms = words.flatMap((word) => SYNONYMS.get(word.toLowerCase()) ?? []);
  const meant = [...new Set(synonyms)].filter((name) => names.includes(name));
  return meant.length > 0 ? meant : closestNames(unknown, names);
}
