import { SandboxError } from '../errors.ts';

/** How many ports a sandbox may expose, on every engine. */
export const MAX_PORTS = 15;

/**
 * The exposed ports with a further one.
 *
 * @throws SandboxError `limit_exceeded` if the sandbox exposes as many as it may
 */
export function withPort(exposed: readonly number[], port: number): number[] {
  if (exposed.includes(port)) return [...exposed];
  if (exposed.length < MAX_PORTS) return [...exposed, port];
  throw new SandboxError(
    'limit_exceeded',
    `Port ${port} cannot be exposed: the sandbox exposes ${MAX_PORTS} ports, the maximum.`,
    {
      hint: `Listen on one of these instead: ${exposed.join(', ')}.`,
      details: { port, exposed: [...exposed] },
    },
  );
}
