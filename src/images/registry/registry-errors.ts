/** What can go wrong with a registry, as errors that name the image and the next step. */
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';

/** A failure that a retry may avoid. */
export class TransientError extends Error {
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null = null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.retryAfterMs = retryAfterMs;
  }
}

/** @param what e.g. `Image registry.example/app:1` */
export function unreachable(what: string, registry: string, error: unknown): SandboxError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = systemErrorCode(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  return new SandboxError('unavailable', `${what} cannot be fetched from ${registry} (${reason}).`, {
    hint: 'Choose an installed runtime, try again later, or ask the operator to make the registry reachable.',
    details: { registry },
    cause: error,
  });
}

/** A registry whose answers contradict each other, or a digest that the caller gave. */
export function untrustworthy(what: string, why: string): SandboxError {
  return new SandboxError('server', `${what} was rejected: ${why}.`, {
    hint: 'The registry, or a proxy on the way to it, is broken or changes what it serves. Nothing was kept.',
  });
}

/** @param status of HTTP, 400 or more */
export function refusedWith(status: number, what: string, registry: string): SandboxError {
  const details = { registry, status };
  if (status === 401 || status === 403) {
    return new SandboxError('auth', `${registry} denies access to ${what} (HTTP ${status}).`, {
      hint: 'The image does not exist, or the operator has to log in with `docker login`, `podman login` or `skopeo login`.',
      details,
    });
  }
  if (status === 404) {
    return new SandboxError('not_found', `${registry} does not have ${what}.`, {
      hint: 'Check the name, and that the tag or digest exists.',
      details,
    });
  }
  if (status === 429) {
    return new SandboxError('rate_limit', `${registry} limits how often images are fetched (HTTP 429).`, {
      hint: 'Wait, or ask the operator to log in to the registry or to configure a mirror.',
      details,
    });
  }
  return new SandboxError('unavailable', `${registry} answers HTTP ${status} for ${what}.`, {
    hint: 'Try again later.',
    details,
  });
}
