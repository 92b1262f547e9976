import type { SandboxOwner } from '../../../registry/types.ts';
import type { Refusal } from '../reply.ts';

/** Concurrent fetches of all clients. */
const MAX_FETCHES = 8;
/** Of these, from the sandboxes of one principal. */
const MAX_OF_PRINCIPAL = 4;
/** Of these, from one sandbox: its git may hang for as long as an answer may take. */
const MAX_OF_SANDBOX = 2;

/** Counts fetches that run, so that no sandbox and no principal can take the place of all others. */
export class FetchLimits {
  readonly #running = new Set<SandboxOwner>();

  /** A refusal if a limit is reached; otherwise `end` must be called when the fetch has ended. */
  begin({ principal, sandboxId }: SandboxOwner): { end(): void } | Refusal {
    const running = [...this.#running];
    const ofPrincipal = running.filter((each) => each.principal === principal);
    const ofSandbox = ofPrincipal.filter((each) => each.sandboxId === sandboxId);
    if (ofSandbox.length >= MAX_OF_SANDBOX) return busy(ofSandbox.length, 'from this sandbox');
    if (ofPrincipal.length >= MAX_OF_PRINCIPAL)
      return busy(ofPrincipal.length, 'from sandboxes of its owner');
    if (running.length >= MAX_FETCHES) return busy(running.length, 'on this server');
    const fetch = { principal, sandboxId };
    this.#running.add(fetch);
    return { end: () => void this.#running.delete(fetch) };
  }
}

function busy(count: number, where: string): Refusal {
  return {
    status: 503,
    message: `${count} fetches are running ${where}; try again later.`,
    headers: { 'retry-after': '5' },
  };
}
