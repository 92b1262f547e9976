/** The error that each fault of the API must become, in any call. */
import type { ErrorCode } from '../../../../src/shared/errors.ts';
import type { FaultKind } from '../../../fakes/vercel/wire/faults.ts';

/** The error code of a call that fails because of a permanent fault. */
export const CODE_OF: Record<FaultKind, ErrorCode> = {
  reset: 'unavailable',
  hang: 'timeout',
  400: 'invalid_argument',
  401: 'auth',
  403: 'permission',
  404: 'not_found',
  409: 'conflict',
  410: 'conflict',
  422: 'invalid_argument',
  429: 'rate_limit',
  500: 'server',
  502: 'server',
  503: 'server',
  lost: 'unavailable',
  'lost-502': 'server',
  'hang-after': 'timeout',
  malformed: 'server',
  half: 'unavailable',
  'hang-mid-body': 'timeout',
  'wrong-type': 'server',
  invalid: 'server',
};

/** Temporary faults: a repeatable call hides a single one. */
export const PASSING_FAULTS: readonly FaultKind[] = [
  'reset',
  429,
  500,
  502,
  503,
  'lost',
  'lost-502',
  'malformed',
  'half',
  'wrong-type',
];

/**
 * Faults that a call cannot tell apart: below it, `src/engines/vercel/http` turns those of one row into failures
 * of the same kind and outcome, with the same error code. Each request of each call is tried with one of them,
 * in turn: all are tried in many calls, but a request that only one call sends is tried with one of each row.
 */
export const ALIKE: readonly (readonly FaultKind[])[] = [
  [400, 422],
  [500, 502, 503],
  ['malformed', 'wrong-type'],
];

/** Faults that cost the full timeout of a client. */
export function hangs(kind: FaultKind): boolean {
  return kind === 'hang' || kind === 'hang-after' || kind === 'hang-mid-body';
}
