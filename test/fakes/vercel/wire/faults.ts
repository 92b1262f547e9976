/** How the stand-in misbehaves, and when. */
import type { Operation } from './operations.ts';

export const STATUS_FAULTS = [400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503] as const;

/** Before the request has any effect. */
export const FAULTS_BEFORE = ['reset', 'hang', ...STATUS_FAULTS] as const;
/** After the request was carried out: only the response is affected. */
export const FAULTS_AFTER = [
  'lost',
  'lost-502',
  'hang-after',
  'malformed',
  'half',
  'hang-mid-body',
  'wrong-type',
  'invalid',
] as const;

export type FaultKind = (typeof FAULTS_BEFORE)[number] | (typeof FAULTS_AFTER)[number];

export const FAULT_KINDS: readonly FaultKind[] = [...FAULTS_BEFORE, ...FAULTS_AFTER];

/** True if the request of a faulty call is never carried out. */
export function actsBefore(kind: FaultKind): boolean {
  const before: readonly FaultKind[] = FAULTS_BEFORE;
  return before.includes(kind);
}

export interface Fault {
  kind: FaultKind;
  /** The affected operations; null means all. */
  operation: Operation | null;
  /** How many calls of that kind succeed first. */
  after?: number;
  /** How many calls are affected; if omitted, all. */
  times?: number;
  /** The `Retry-After` of 429 and 503, in seconds. */
  retryAfter?: number;
  /** How many whole lines of a stream precede the cut; none if omitted. */
  lines?: number;
  /** The `error.code` of a status, which the client may read. */
  code?: string;
}

/** Pending faults. */
export class FaultPlan {
  #planned: { fault: Fault; skip: number; left: number }[] = [];

  add(fault: Fault): void {
    this.#planned.push({ fault, skip: fault.after ?? 0, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  /** Clears all faults. */
  clear(): void {
    this.#planned = [];
  }

  /** Takes the fault for this call. */
  take(operation: Operation): Fault | null {
    for (const planned of this.#planned) {
      if (planned.fault.operation !== null && planned.fault.operation !== operation) continue;
      if (planned.skip > 0) {
        planned.skip -= 1;
      } else if (planned.left > 0) {
        planned.left -= 1;
        return planned.fault;
      }
    }
    return null;
  }
}
