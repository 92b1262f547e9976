import type { Engine } from '../../engines/engine.ts';

interface Capability {
  /** As in `session_info`. */
  readonly name: string;
  /** What it gives, for the documentation. */
  readonly text: string;
  /** Undefined if the engine does not have it. */
  readonly group: (engine: Engine) => unknown;
}

/** The optional capability groups of engines. */
export const CAPABILITIES: readonly Capability[] = [
  { name: 'ports', text: 'URLs of ports, also of ports exposed later', group: ({ ports }) => ports },
  { name: 'snapshots', text: 'snapshots of the file system', group: ({ snapshots }) => snapshots },
  { name: 'shells', text: 'terminals for the agent', group: ({ shells }) => shells },
  {
    name: 'interactive',
    text: 'terminals for people, over a WebSocket',
    group: ({ shells }) => shells?.interactiveUrl,
  },
  {
    name: 'network_policies',
    text: 'network policies that change while a sandbox runs',
    group: ({ networkPolicies }) => networkPolicies,
  },
  {
    name: 'network_activity',
    text: 'what connected, and what the policy refused',
    group: ({ networkPolicies }) => networkPolicies?.activity,
  },
  {
    name: 'rule_effects',
    text: 'rules that forward requests, or answer them',
    group: ({ networkPolicies }) => networkPolicies?.ruleEffects,
  },
  { name: 'sources', text: 'git, tarball and snapshot sources', group: ({ sources }) => sources },
  { name: 'images', text: 'images that are imported from files', group: ({ images }) => images },
  {
    name: 'ownership',
    text: 'the end of a sandbox within a second of the death of its last server',
    group: ({ ownership }) => ownership,
  },
  { name: 'regions', text: 'a choice of regions', group: ({ regions }) => regions },
  {
    name: 'named_sandboxes',
    text: 'named sandboxes that are resumed with their files, from any machine',
    group: ({ persistence }) => persistence,
  },
];

/** The names of the groups that an engine has. */
export function capabilitiesOf(engine: Engine): string[] {
  return CAPABILITIES.filter(({ group }) => group(engine) !== undefined).map(({ name }) => name);
}
