import type { WorkspaceChange, WorkspaceEntry } from '../../../../src/engines/engine.ts';

const entry: WorkspaceEntry = { type: 'file', mode: 0o644, sizeBytes: 4, modifiedAt: 0 };
const change = (path: string, parts: Partial<WorkspaceChange>): WorkspaceChange => ({
  path,
  status: 'modified',
  from: null,
  before: entry,
  after: entry,
  refused: null,
  ...parts,
});

const numbers = Array.from({ length: 10 }, (_, index) => index);

/** Ten modified, ten added in new folders, three deleted, a renamed file and a link. */
export const CHANGES: WorkspaceChange[] = [
  ...numbers.map((number) => change(`m${number}`, {})),
  ...numbers.map((number) => change(`new/${number % 2}/a${number}`, { status: 'added', before: null })),
  ...numbers.slice(0, 3).map((number) => change(`old/d${number}`, { status: 'deleted', after: null })),
  change('to', { status: 'renamed', from: 'from' }),
  change('link', { status: 'added', before: null, after: { ...entry, type: 'symlink' } }),
];
