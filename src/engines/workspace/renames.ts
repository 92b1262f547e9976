import type { WorkspaceChange } from '../engine.ts';
import type { SideFiles } from './sides.ts';

/** What is read to find renames, of both sides together. */
export const MAX_FILES = 1_000;
export const MAX_BYTES = 268_435_456;

/**
 * Pairs deleted files with added ones of the same content, as git does. What is left over when the limits are
 * reached stays deleted and added.
 *
 * @returns the changes without the deletions that became renames
 */
export async function pairRenames(
  { folder, sandbox }: { folder: SideFiles; sandbox: SideFiles },
  changes: WorkspaceChange[],
  signal: AbortSignal,
): Promise<WorkspaceChange[]> {
  const budget = { files: MAX_FILES, bytes: MAX_BYTES };
  const read = async (side: SideFiles, path: string, size: number): Promise<Buffer | null> => {
    if (budget.files === 0 || budget.bytes < size) return null;
    budget.files -= 1;
    budget.bytes -= size;
    return side.digest(path, size, signal);
  };
  const known = new Map<WorkspaceChange, Buffer | null>();
  const bySize = new Map<number, WorkspaceChange[]>();
  for (const change of changes) {
    const size = change.before?.sizeBytes ?? 0;
    if (change.status !== 'deleted' || size === 0) continue;
    const others = bySize.get(size);
    if (others === undefined) bySize.set(size, [change]);
    else others.push(change);
  }
  const paired = new Set<WorkspaceChange>();
  for (const change of changes) {
    const size = change.after?.sizeBytes ?? 0;
    const candidates = change.status === 'added' ? bySize.get(size) : undefined;
    if (candidates === undefined || candidates.length === 0) continue;
    const content = await read(sandbox, change.path, size);
    if (content === null) continue;
    for (const [at, candidate] of candidates.entries()) {
      let other = known.get(candidate);
      if (other === undefined) {
        other = await read(folder, candidate.path, size);
        known.set(candidate, other);
      }
      if (other === null || !other.equals(content)) continue;
      candidates.splice(at, 1);
      paired.add(candidate);
      change.status = 'renamed';
      change.from = candidate.path;
      change.before = candidate.before;
      change.refused ??= candidate.refused;
      break;
    }
  }
  return changes.filter((change) => !paired.has(change));
}
