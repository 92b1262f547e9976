/** Parses the values of a policy; the error for an invalid one names the accepted forms. */
import { normalizePattern } from '../../shared/domains.ts';
import { SandboxError } from '../../shared/errors.ts';
import { parseRange, type Range } from './ip-ranges.ts';

/** A domain or wildcard, normalized; throws `invalid_argument` for anything else. */
export function parseDomainPattern(text: string): string {
  const pattern = normalizePattern(text);
  if (pattern !== null) return pattern;
  const address = parseRange(text) !== null;
  throw new SandboxError(
    'invalid_argument',
    `network_policy: ${JSON.stringify(text.slice(0, 100))} is not a domain.`,
    {
      hint: address
        ? 'Put addresses and ranges into subnets.allow.'
        : 'Use a domain such as example.com, or *.example.com for its subdomains, without scheme, port or path.',
    },
  );
}

/** An address range; throws `invalid_argument` for anything else. */
export function parseSubnet(text: string): Range {
  const range = parseRange(text);
  if (range !== null) return range;
  throw new SandboxError(
    'invalid_argument',
    `network_policy.subnets: ${JSON.stringify(text.slice(0, 100))} is not a range.`,
    {
      hint: 'Use ranges such as 192.0.2.0/24 or 2001:db8::/32, or single addresses.',
    },
  );
}
