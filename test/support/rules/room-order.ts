/** The order of rooms, from which rows of the import table follow. */

/** What may be imported: everything, or only types. */
export type Reach = 'all' | 'types';

/** Rooms of the oci engine from top to bottom; those of one line do not import each other. */
export const OCI_ROOMS: readonly (readonly string[])[] = [
  ['index.ts'],
  ['create-sandbox.ts', 'open-context.ts'],
  ['source/', 'stock/'],
  ['exec/', 'files/', 'snapshots/', 'recover.ts'],
  ['sandbox/'],
  ['doctor/', 'engine-limits.ts', 'images/', 'network/', 'volumes/'],
  ['container/'],
  ['workspace/'],
  ['storage/'],
  ['cleanup/'],
  ['host/', 'ports/'],
  ['protocol/', 'state/'],
];

/** Rooms of the registry. `types.ts` is its interface for the tools and the server. */
export const REGISTRY_ROOMS: readonly (readonly string[])[] = [
  ['registry.ts'],
  ['session/', 'recovery/'],
  ['logs/', 'snapshots/'],
  ['sandboxes/'],
  ['records/'],
  ['types.ts'],
  [
    'log-types.ts',
    'request-types.ts',
    'port-types.ts',
    'session-state.ts',
    'shell-types.ts',
    'transfer-types.ts',
  ],
];

/** Rooms of the tools. */
export const TOOL_ROOMS: readonly (readonly string[])[] = [
  ['index.ts'],
  ['commands/', 'files/', 'session/', 'shells/', 'workspaces/'],
  ['sandboxes/'],
  ['transfers/'],
  ['common/'],
];

/**
 * Rows of the table for rooms that import what is below them and `outside` alone. All may import the types of
 * `context.ts` in the same folder, which holds types of theirs.
 */
export function layered(
  folder: string,
  rooms: readonly (readonly string[])[],
  outside: Record<string, Reach>,
): Record<string, Record<string, Reach>> {
  const below = (from: number) => rooms.slice(from).flat();
  const row = (names: readonly string[], reach: Reach) =>
    Object.fromEntries(names.map((name) => [`${folder}${name}`, reach]));
  const context = `${folder}context.ts`;
  return {
    ...Object.fromEntries(
      rooms.flatMap((names, level) =>
        names.map((name) => [
          `${folder}${name}`,
          { ...outside, [context]: 'types' as const, ...row(below(level + 1), 'all') },
        ]),
      ),
    ),
    [context]: { ...outside, ...row(below(0), 'types') },
  };
}
