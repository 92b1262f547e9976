/** A network policy as data, and its evaluation: pure, without sockets or clocks. */
import { matchesPattern } from '../../shared/domains.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { NetworkPolicy } from '../../shared/policy-schema.ts';
import { SecretStore } from '../../shared/secrets.ts';
import { type CredentialRule, compileHeaderRules, type HeaderRules } from './header-rules.ts';
import { type Address, closedBecause, holds, parseAddress, type Range } from './ip-ranges.ts';
import { parseDomainPattern, parseSubnet } from './parse-policy.ts';

/** What the operator allows in addition to every policy, and which addresses are this host's own. */
export interface HostNetwork {
  readonly opened: readonly Range[];
  /** As the system formats them; asked for each decision, since they change. */
  readonly ownAddresses: () => readonly string[];
}

/** The secrets that header rules may use. */
export interface HeaderSources {
  readonly secrets?: SecretStore;
  /** The engine's own rules, besides the policy's: they set headers and allow nothing. */
  readonly credentials?: readonly CredentialRule[];
}

export interface Decision {
  readonly allowed: boolean;
  /** The rule that decided, in readable form. */
  readonly rule: string;
}

export interface Policy {
  readonly mode: NetworkPolicy['mode'];
  /** Whether this name may be looked up and connected to, whatever it resolves to. */
  evaluateName(name: string): Decision;
  /**
   * Why an address may not be dialled (on any port: null), whatever name led to it. Null: nothing forbids it.
   */
  forbids(address: Address, port: number | null): Decision | null;
  /**
   * Whether an address may be dialled under those names (normalized) that are known to resolve to it; may be
   * none.
   */
  evaluate(names: readonly string[], address: Address, port: number): Decision;
  /** The headers to set on requests that pass. */
  readonly headers: HeaderRules;
}

const allowed = (rule: string): Decision => ({ allowed: true, rule });
const denied = (rule: string): Decision => ({ allowed: false, rule });

/**
 * Parses a policy.
 * @throws `invalid_argument` naming the invalid or misplaced value; `permission` for a secret that may not be
 *   sent to a rule's destination
 */
export function compilePolicy(
  data: NetworkPolicy,
  hostNetwork: HostNetwork,
  sources: HeaderSources = {},
): Policy {
  checkShape(data);
  const { secrets = new SecretStore(), credentials = [] } = sources;
  const headers = compileHeaderRules(data.rules ?? [], secrets, credentials);
  const patterns = [...(data.allow ?? []), ...(data.rules ?? []).map(({ domain }) => domain)].map(
    parseDomainPattern,
  );
  const allowRanges = (data.subnets?.allow ?? []).map(parseSubnet);
  const denyRanges = (data.subnets?.deny ?? []).map(parseSubnet);

  const evaluateName = (name: string): Decision => {
    if (data.mode === 'allow-all') return allowed('mode allow-all');
    if (data.mode === 'deny-all') return denied('mode deny-all');
    const pattern = patterns.find((each) => matchesPattern(each, name));
    return pattern === undefined ? denied(`${name} is not in the allow list`) : allowed(`domain ${pattern}`);
  };
  const forbids = (address: Address, port: number | null): Decision | null => {
    const closed = closedOnThisHost(address, hostNetwork);
    if (closed !== null && !hostNetwork.opened.some((range) => holds(range, address, port))) {
      return denied(`${address.toString()} is a ${closed} address, which only the operator can allow`);
    }
    if (data.mode === 'deny-all') return denied('mode deny-all');
    const range = denyRanges.find((each) => holds(each, address, port));
    return range === undefined ? null : denied(`subnets.deny ${range.text}`);
  };
  return {
    mode: data.mode,
    headers,
    evaluateName: evaluateName,
    forbids,
    evaluate(names, address, port) {
      const forbidden = forbids(address, port);
      if (forbidden !== null) return forbidden;
      if (data.mode === 'allow-all') return allowed('mode allow-all');
      const range = allowRanges.find((each) => holds(each, address, port));
      if (range !== undefined) return allowed(`subnets.allow ${range.text}`);
      const decision = names.map(evaluateName).find((each) => each.allowed);
      if (decision !== undefined) return decision;
      const [name] = names;
      return name === undefined
        ? denied(`${address.toString()} does not belong to an allowed domain or subnet`)
        : evaluateName(name);
    },
  };
}

function closedOnThisHost(address: Address, hostNetwork: HostNetwork): string | null {
  const closed = closedBecause(address);
  if (closed !== null) return closed;
  const own = hostNetwork
    .ownAddresses()
    .some((text) => parseAddress(text)?.toString() === address.toString());
  return own ? 'host' : null;
}

function checkShape(data: NetworkPolicy): void {
  if (data.mode === 'custom') return;
  const given = [data.allow, data.subnets?.allow, data.subnets?.deny, data.rules];
  if (given.every((list) => list === undefined || list.length === 0)) return;
  throw new SandboxError(
    'invalid_argument',
    `network_policy.mode ${data.mode} cannot be combined with allow, subnets or rules.`,
    {
      hint: 'Use mode custom to set allow, subnets or rules.',
    },
  );
}
