import type { ConnectionEntry } from '../connection/connection-log.ts';
import type { Decision } from '../policy/policy.ts';

/** The log entry of a refused query. */
export function refusedQueryEntry({ name, decision }: { name: string; decision: Decision }): ConnectionEntry {
  return {
    time: Date.now(),
    protocol: 'dns',
    domain: name,
    address: '',
    port: 53,
    outcome: 'refused',
    rule: decision.rule,
    bytesIn: 0,
    bytesOut: 0,
  };
}
