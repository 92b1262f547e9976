import type { Sandbox } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';

/**
 * Extends the deadline of a running sandbox, within the operator's maximum. `look` returns the current state
 * of the sandbox or throws. Changes of one sandbox's deadline run one at a time, so that two of them cannot
 * exceed the maximum together.
 *
 * @throws SandboxError `invalid_argument`, or `limit_exceeded` with the maximum
 */
export async function extendWithinLimit(
  context: RegistryContext,
  sandboxId: string,
  durationMs: number,
  getSandbox: () => Promise<Sandbox>,
  signal: AbortSignal,
): Promise<Sandbox> {
  if (!Number.isSafeInteger(durationMs) || durationMs <= 0) {
    throw new SandboxError(
      'invalid_argument',
      `duration_ms is ${durationMs}; it must be a positive whole number.`,
    );
  }
  return context.lock.run(`deadline of ${sandboxId}`, async () => {
    const sandbox = await getSandbox();
    const max = context.config.maxLifetimeMs;
    const room = Math.max(0, max - sandbox.timeoutMs);
    if (durationMs > room) {
      throw new SandboxError(
        'limit_exceeded',
        `Extending ${sandboxId} by ${durationMs} ms gives it a lifetime of ${sandbox.timeoutMs + durationMs} ms; the maximum is ${max} ms.`,
        {
          hint:
            room > 0
              ? `Call sandbox_extend_timeout with duration_ms of at most ${room}.`
              : 'It has reached its maximum lifetime: save your files with sandbox_download_file, then call sandbox_create.',
          details: { sandbox_id: sandboxId, duration_ms: durationMs, max_lifetime_ms: max, room_ms: room },
        },
      );
    }
    return context.engine.extendTimeout(sandboxId, durationMs, signal);
  });
}

/**
 * Extension by the keep-alive lease: if less than a margin of its time is left, the sandbox is extended to
 * `ahead` milliseconds from now, or as far as the maximum allows. Returns the resulting state.
 */
export async function extendForWork(
  context: RegistryContext,
  sandboxId: string,
  aheadMs: number,
  signal: AbortSignal,
): Promise<Sandbox> {
  return context.lock.run(`deadline of ${sandboxId}`, async () => {
    const sandbox = await context.engine.get(sandboxId, signal);
    if (sandbox.expiresAt === null) return sandbox;
    const now = context.clock.now();
    if (sandbox.expiresAt - now > marginMs(sandbox)) return sandbox;
    const room = context.config.maxLifetimeMs - sandbox.timeoutMs;
    const wanted = Math.min(now + aheadMs - sandbox.expiresAt, room);
    return wanted > 0 ? context.engine.extendTimeout(sandboxId, Math.ceil(wanted), signal) : sandbox;
  });
}

/**
 * Gives a sandbox `durationMs` from now, or as much of it as the maximum allows. What it has beyond stays.
 * Returns the resulting state.
 */
export async function restartDeadline(
  context: RegistryContext,
  sandboxId: string,
  durationMs: number,
  signal: AbortSignal,
): Promise<Sandbox> {
  return context.lock.run(`deadline of ${sandboxId}`, async () => {
    const sandbox = await context.engine.get(sandboxId, signal);
    if (sandbox.expiresAt === null) return sandbox;
    const room = context.config.maxLifetimeMs - sandbox.timeoutMs;
    const wanted = Math.min(context.clock.now() + durationMs - sandbox.expiresAt, room);
    return wanted > 0 ? context.engine.extendTimeout(sandboxId, Math.ceil(wanted), signal) : sandbox;
  });
}

/** How long before its deadline a busy sandbox is extended: a fifth of its lifetime, between 1 s and 60 s. */
export function marginMs(sandbox: Sandbox): number {
  return Math.min(60_000, Math.max(1_000, sandbox.timeoutMs / 5));
}
