/** The outcome of a snapshot whose response was lost: the platform may still be taking it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Snapshot as SdkSnapshot } from '@vercel/sandbox';
import type { VercelContext } from '../context.ts';
import { isSandboxMissing } from '../http/api-errors.ts';
import { BATCH } from '../http/pagination.ts';
import { hasEnded } from './sandbox-view.ts';

const LONGEST_PAUSE_MS = 5_000;
/** For one request to the platform. */
const CHECK_MS = 15_000;

export interface SnapshotSource {
  readonly sandboxId: string;
  readonly sessionId: string;
  /** When the last snapshot before this one was requested, epoch ms. */
  readonly snapshottedBefore: number | undefined;
}

/** `unknown`: it has neither appeared nor failed, so it may still appear. */
export type SnapshotOutcome = SdkSnapshot | 'not taken' | 'unknown';

/**
 * Waits for the snapshot while the platform is seen taking it, as long as for its response; otherwise for
 * `effectMs`. Never rejects.
 */
export async function findOutcome(context: VercelContext, source: SnapshotSource): Promise<SnapshotOutcome> {
  const { tuning, log } = context;
  const begun = performance.now();
  for (let pause = tuning.pollMs; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    let underWay = false;
    try {
      const signal = AbortSignal.timeout(CHECK_MS);
      underWay = await isUnderWay(context, source, signal);
      const { snapshots } = await context.cloud.snapshots(BATCH, null, signal);
      const own = snapshots.filter(({ sourceSessionId }) => sourceSessionId === source.sessionId);
      const created = own.find(({ status }) => status === 'created');
      if (created !== undefined) return await context.cloud.snapshot(created.id, signal);
      if (underWay && own.some(({ status }) => status === 'failed')) return 'not taken';
    } catch (error) {
      log.warn({ sandbox_id: source.sandboxId, err: error }, 'cannot check whether a snapshot was taken');
    }
    const limitMs = underWay ? tuning.longHeadersMs : tuning.effectMs;
    if (performance.now() - begun >= limitMs) return 'unknown';
    await delay(pause);
  }
}

/** True while the session runs and reports that it is being snapshotted. */
async function isUnderWay(
  { cloud }: VercelContext,
  { sandboxId, sessionId, snapshottedBefore }: SnapshotSource,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const session = (await cloud.get(sandboxId, signal)).currentSession();
    if (session.sessionId !== sessionId || hasEnded(session)) return false;
    const { status, snapshottedAt } = session;
    if (status === 'snapshotting' || status === 'stopping') return true;
    return snapshottedAt?.getTime() !== snapshottedBefore;
  } catch (error) {
    if (isSandboxMissing(error)) return false;
    throw error;
  }
}
