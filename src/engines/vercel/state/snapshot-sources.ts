/** Finds the sandbox that a snapshot was taken of: the cloud returns only its session. */
import { listRecordIds, readRecord, type SandboxRecord } from './sandbox-record.ts';
import { readSnapshotRecord, writeSnapshotRecord } from './snapshot-record.ts';
import type { VercelLayout } from './state-layout.ts';

/** Used for one call: reads the sandbox records at most once, and only for a snapshot without a record. */
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
    // Its response was lost, or the server that requested it was killed.
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
