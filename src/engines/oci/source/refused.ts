import { SandboxError } from '../../../shared/errors.ts';

/** A source that the sandbox's own network policy does not let in. */
export function refused(url: string, refusal: string, details: Record<string, unknown> = {}): SandboxError {
  return new SandboxError('permission', `${url} cannot be fetched: the network policy refuses ${refusal}.`, {
    hint: refusal.includes('only the operator')
      ? 'Give an address on the internet, or ask the operator to open this one (--egress-allow).'
      : 'Call sandbox_create with a network_policy that allows that domain; it can be narrowed with sandbox_update_network_policy afterwards.',
    details: { ...details, url },
  });
}
