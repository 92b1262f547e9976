/** Requests of the cases; independent of the test runner, so that child processes can use them. */
import type { CreateSandbox } from '../../../src/engines/engine.ts';
import { newSandboxId } from '../../../src/shared/ids.ts';

/** For calls that are not cancelled; long enough for a slow machine, short enough to end a hung run. */
export function timeoutSignal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

/** A complete request with the defaults of the tools. */
export function createRequest(request: Partial<CreateSandbox> = {}): CreateSandbox {
  return {
    sandboxId: newSandboxId(),
    runtime: null,
    ports: [],
    timeoutMs: 300_000,
    vcpus: 1,
    env: {},
    networkPolicy: { mode: 'deny-all' },
    source: null,
    interactive: false,
    keep: false,
    ...request,
  };
}
