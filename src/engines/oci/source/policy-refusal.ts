import { closedBecause, parseAddress } from '../../../egress/policy/ip-ranges.ts';
import { SandboxError } from '../../../shared/errors.ts';

/** The error for a source that the sandbox's network policy refuses. */
export function policyRefusal(
  url: string,
  refusal: string,
  details: Record<string, unknown> = {},
): SandboxError {
  return new SandboxError('permission', `Cannot fetch ${url}: the network policy refuses ${refusal}.`, {
    hint: policyHint(url, refusal),
    details: { ...details, url },
  });
}

function policyHint(url: string, refusal: string): string {
  if (refusal.includes('only the operator')) {
    return 'Use an internet address, or ask the operator to allow this one (--egress-allow).';
  }
  if (refusal.includes('subnets.deny')) {
    return 'Call sandbox_create with a network_policy whose subnets.deny does not contain that address.';
  }
  const address = parseAddress(new URL(url).hostname.replace(/^\[|\]$/g, ''));
  if (address === null) {
    return 'Call sandbox_create with a network_policy that allows that domain; restrict it afterwards with sandbox_update_network_policy.';
  }
  const range = `${address.toString()}/${address.kind() === 'ipv4' ? 32 : 128}`;
  const closed = closedBecause(address);
  const too =
    closed === null ? '' : ` It is a ${closed} address, which the operator has to open too (--egress-allow).`;
  return `Call sandbox_create with network_policy.mode "custom" and ${range} in network_policy.subnets.allow.${too}`;
}
