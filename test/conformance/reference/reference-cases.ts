/** The cases of the reference in order: each may depend on earlier results. */
import type { ReferenceCase } from './reference-case.ts';
import { commandCasesOfReference } from './reference-commands.ts';
import { fileCasesOfReference } from './reference-files.ts';
import { sandboxCasesOfReference } from './reference-sandboxes.ts';
import { snapshotCasesOfReference } from './reference-snapshots.ts';

/** @param engine the name of the engine under test */
export function referenceCases(engine: string): ReferenceCase[] {
  return [
    ...sandboxCasesOfReference(engine),
    ...commandCasesOfReference(),
    ...fileCasesOfReference(),
    ...snapshotCasesOfReference(engine),
  ];
}
