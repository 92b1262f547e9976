/** Work in the engine below: how long it may take, and what its failures are on the wire. */
import { SandboxError } from '../../../../src/shared/errors.ts';
import { ApiFailure } from '../wire/reply.ts';

/** Work in progress continues when a client disconnects, as on the platform. */
export function never(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

const STATUS_BY_CODE: Record<string, readonly [number, string]> = {
  invalid_argument: [400, 'bad_request'],
  not_found: [404, 'not_found'],
  conflict: [410, 'sandbox_stopped'],
  permission: [403, 'forbidden'],
  limit_exceeded: [400, 'bad_request'],
  unsupported: [400, 'bad_request'],
};

/** Maps failures of the engine below to the service's errors. */
export async function asApi<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error;
    const [status, code] = STATUS_BY_CODE[error.code] ?? [500, 'internal_server_error'];
    throw new ApiFailure(status, code, error.message);
  }
}
