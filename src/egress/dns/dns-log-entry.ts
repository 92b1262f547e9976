import type { Entry } from '../connection/connection-log.ts';
import type { Verdict } from '../policy/policy.ts';

/** A refused query as an entry of the log. */
export function dnsRefusal({ name, verdict }: { name: string; verdict: Verdict }): Entry {
  return {
    time: Date.now(),
    protocol: 'dns',
    domain: name,
    address: '',
    port: 53,
    verdict: 'refused',
    rule: verdict.rule,
    bytesIn: 0,
    bytesOut: 0,
  };
}
