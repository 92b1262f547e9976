/** The SDK's own validators: the schema of every answer of the stand-in. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

/** Names that the SDK's `api-client/validators` exports. */
export type ValidatorName =
  | 'CommandFinishedResponse'
  | 'CommandResponse'
  | 'CreateSnapshotResponse'
  | 'EmptyResponse'
  | 'InteractiveSessionResponse'
  | 'LogLine'
  | 'SandboxAndSessionResponse'
  | 'SandboxesPaginationResponse'
  | 'SessionAndRoutesResponse'
  | 'SessionResponse'
  | 'SessionsResponse'
  | 'SnapshotResponse'
  | 'SnapshotsResponse'
  | 'StopSessionResponse'
  | 'UpdateSandboxResponse';

interface Parsed {
  success: boolean;
  data?: unknown;
  error?: unknown;
}

interface Validator {
  safeParse(value: unknown): Parsed;
}

/** A description of what is wrong with a response, or null if the service could return it. */
export type WireCheck = (validator: ValidatorName, answer: unknown) => string | null;

/** Loads the validators from the installed SDK, which does not export them. */
export async function loadWireCheck(): Promise<WireCheck> {
  const entry = pathToFileURL(createRequire(import.meta.url).resolve('@vercel/sandbox'));
  const module: unknown = await import(new URL('./api-client/validators.js', entry).href);
  return (name, answer) => {
    // As the client parses it: without what JSON omits.
    const wire: unknown = JSON.parse(JSON.stringify(answer));
    const result = validatorOf(module, name).safeParse(wire);
    if (!result.success) return `${name}: ${String(result.error)}`;
    if (isDeepStrictEqual(result.data, wire)) return null;
    return `${name}: has fields that the SDK does not know: ${JSON.stringify(wire)}`;
  };
}

function validatorOf(module: unknown, name: ValidatorName): Validator {
  const found: unknown = typeof module === 'object' && module !== null ? Reflect.get(module, name) : null;
  if (!isValidator(found)) throw new Error(`this version of the SDK has no validator ${name}`);
  return found;
}

function isValidator(value: unknown): value is Validator {
  return (
    typeof value === 'object' &&
    value !== null &&
    'safeParse' in value &&
    typeof value.safeParse === 'function'
  );
}
