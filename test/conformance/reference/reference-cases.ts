/** The reference's cases in their order: each may build on the answers before it. */
import type { ReferenceCase } from './reference-case.ts';
import { commandCasesOfReference } from './reference-commands.ts';
import { fileCasesOfReference } from './reference-files.ts';
import { sandboxCasesOfReference } from './reference-sandboxes.ts';
import { snapshotCasesOfReference } from './reference-snapshots.ts';

/** @param engine the name of the engine that answers */
export function referenceCases(engine: string): ReferenceCase[] {
  return [
    ...sandboxCasesOfReference(engine),
    ...commandCasesOfReference(),
    ...fileCasesOfReference(),
    ...snapshotCasesOfReference(engine),
  ];
}
