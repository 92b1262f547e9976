/** Snapshots with a name, which a new sandbox may give as its `runtime`. */
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { isOwn } from './is-own.ts';
import type { SnapshotOwnership } from './snapshot-record.ts';

/** The principal's snapshots that have a name, newest first. */
async function namedSnapshots(context: RegistryContext, principal: string): Promise<SnapshotOwnership[]> {
  const records = await context.snapshots.all();
  return records
    .filter((record) => record.name !== undefined && isOwn(context, principal, record))
    .sort((one, other) => other.createdAt - one.createdAt);
}

/** The names that the principal may give as `runtime`, newest first. */
export async function snapshotNames(context: RegistryContext, principal: string): Promise<string[]> {
  const names = (await namedSnapshots(context, principal)).flatMap(({ name }) => name ?? []);
  return [...new Set(names)];
}

/** The id of the newest snapshot of this name; null if there is none. */
export async function findNamedSnapshot(
  context: RegistryContext,
  principal: string,
  name: string,
): Promise<string | null> {
  const records = await namedSnapshots(context, principal);
  return records.find((record) => record.name === name)?.snapshotId ?? null;
}

/**
 * A snapshot must not hide what others mean by a runtime's name.
 *
 * @throws `conflict`
 */
export async function requireFreeName(
  { engine }: RegistryContext,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const { installed } = await engine.runtimes(signal);
  if (!installed.includes(name)) return;
  throw new SandboxError('conflict', `"${name}" is a runtime already.`, {
    hint: 'Call sandbox_snapshot with another name.',
    details: { name, installed },
  });
}
