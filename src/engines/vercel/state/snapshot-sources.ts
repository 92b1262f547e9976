/** Which of this machine's sandboxes a snapshot was taken of: the cloud names its session alone. */
import { listRecordIds, readRecord, type SandboxRecord } from './sandbox-record.ts';
import { readSnapshotRecord, writeSnapshotRecord } from './snapshot-record.ts';
import type { VercelLayout } from './state-layout.ts';

/** For one call: the records of the sandboxes are read at most once, and only for a snapshot that has none of its own. */
export class SnapshotSources {
  readonly #layout: VercelLayout;
  #bySession: Promise<Map<string, SandboxRecord>> | null = null;

  constructor(layout: VercelLayout) {
    this.#layout = layout;
  }

  /** The sandbox's id; the session's for a snapshot that was taken from elsewhere. */
  async sandboxOf(snapshotId: string, sessionId: string): Promise<string> {
    const known = await readSnapshotRecord(this.#layout, snapshotId);
    if (known !== null) return known.sourceSandboxId;
    // Taken after its answer was lost, or after the server that asked for it was killed.
    this.#bySession ??= recordsBySession(this.#layout);
    const source = (await this.#bySession).get(sessionId);
    if (source === undefined) return sessionId;
    const { sandboxId: sourceSandboxId, lastSeen } = source;
    const runtime = lastSeen?.runtime ?? source.runtime;
    if (runtime !== null)
      await writeSnapshotRecord(this.#layout, { version: 1, snapshotId, sourceSandboxId, runtime });
    return sourceSandboxId;
  }
}

async function recordsBySession(layout: VercelLayout): Promise<Map<string, SandboxRecord>> {
  const sources = new Map<string, SandboxRecord>();
  for (const sandboxId of await listRecordIds(layout)) {
    // A damaged record is reported when its sandbox is requested.
    const record = await readRecord(layout, sandboxId).catch(() => null);
    if (record?.snapshotSession) sources.set(record.snapshotSession, record);
  }
  return sources;
}
