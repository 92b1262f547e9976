import { closedBecause, parseAddress } from '../../../egress/policy/ip-ranges.ts';
import { SandboxError } from '../../../shared/errors.ts';

/** A source that the sandbox's own network policy does not let in. */
export function policyRefusal(
  url: string,
  refusal: string,
  details: Record<string, unknown> = {},
): SandboxError {
  return new SandboxError('permission', `${url} cannot be fetched: the network policy refuses ${refusal}.`, {
    hint: policyHint(url, refusal),
    details: { ...details, url },
  });
}

function policyHint(url: string, refusal: string): string {
  if (refusal.includes('only the operator')) {
    return 'Give an address on the internet, or ask the operator to open this one (--egress-allow).';
  }
  if (refusal.includes('subnets.deny')) {
    return 'Call sandbox_create with a network_policy whose subnets.deny leaves that address out.';
  }
  const address = parseAddress(new URL(url).hostname.replace(/^\[|\]$/g, ''));
  if (address === null) {
    return 'Call sandbox_create with a network_policy that allows that domain; it can be narrowed with sandbox_update_network_policy afterwards.';
  }
  const range = `${address.toString()}/${address.kind() === 'ipv4' ? 32 : 128}`;
  const closed = closedBecause(address);
  const too =
    closed === null ? '' : ` It is a ${closed} address, which the operator has to open too (--egress-allow).`;
  return `Call sandbox_create with network_policy.mode "custom" and ${range} in network_policy.subnets.allow.${too}`;
}
