import type { Finding } from '../../engine.ts';
import { fixAsRoot } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

/**
 * Whether a container took /dev/null away from the host, as crun 1.8.1 lets it when started with /dev/null as
 * its standard input: its root could then change the mode.
 */
export function deviceFindings({ nullOwner, inContainer, rootIsLimited }: HostFacts): Finding[] {
  // In a container, whoever started it decides.
  if (nullOwner === 0 || inContainer || rootIsLimited) return [];
  const text = `/dev/null belongs to user ${nullOwner}, the root of a container that crun started`;
  const remedy = [
    ['chown', 'root:root', '/dev/null'],
    ['chmod', '0666', '/dev/null'],
  ];
  return [fixAsRoot('warning', text, remedy)];
}
