/** What a sandbox starts from: a runtime that the platform manages, or an image. */
import { SandboxError } from '../../../shared/errors.ts';
import type { Runtimes } from '../../engine.ts';

/** The `runtime` values of the SDK's reference. */
export const RUNTIMES = ['node26', 'node24', 'node22', 'python3.13'] as const;
/** The platform's own images, by the last part of their names. */
const MANAGED = ['universal', 'ubuntu', 'arch'];
/** The platform's default. */
export const DEFAULT_RUNTIME = 'vercel/sandbox/universal:latest';

/** The valid values of `runtime`. */
export const VERCEL_RUNTIMES: Runtimes = {
  installed: [...RUNTIMES, ...MANAGED],
  others: 'an image from a registry, such as vercel/sandbox/node:24 or my-repository:tag',
};

export type RuntimeChoice = { runtime: string } | { image: string } | null;

/**
 * `node24` is a runtime, `ubuntu` or `vercel/sandbox/node:24` an image, and so is every name with a slash, a
 * colon or an `@`, which belongs to a registry. Null means the platform's default.
 *
 * @throws SandboxError `invalid_argument` for anything else
 */
export function chooseRuntime(runtime: string | null): RuntimeChoice {
  if (runtime === null) return null;
  if (RUNTIMES.some((known) => known === runtime)) return { runtime };
  if (MANAGED.includes(runtime)) return { image: `vercel/sandbox/${runtime}` };
  if (/^[A-Za-z0-9][A-Za-z0-9._/@:-]{0,255}$/.test(runtime) && /[/:@]/.test(runtime))
    return { image: runtime };
  const valid = [...RUNTIMES, ...MANAGED].join(', ');
  throw new SandboxError('invalid_argument', `Vercel has no runtime "${runtime.slice(0, 80)}".`, {
    hint: `Use ${valid}, or an image such as "vercel/sandbox/node:24" or "my-repository:tag"; the default is ${DEFAULT_RUNTIME}.`,
    details: { runtime: runtime.slice(0, 80) },
  });
}
