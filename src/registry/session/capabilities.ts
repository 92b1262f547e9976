import type { Engine } from '../../engines/engine.ts';

interface Capability {
  /** As in `session_info`. */
  readonly name: string;
  /** What it provides, for the documentation. */
  readonly text: string;
  /** Undefined if the engine does not have it. */
  readonly group: (engine: Engine) => unknown;
}

/** The optional capability groups of engines. */
export const CAPABILITIES: readonly Capability[] = [
  { name: 'ports', text: 'port URLs, including for ports exposed later', group: ({ ports }) => ports },
  { name: 'snapshots', text: 'file system snapshots', group: ({ snapshots }) => snapshots },
  { name: 'shells', text: 'terminals for the agent', group: ({ shells }) => shells },
  {
    name: 'interactive',
    text: 'terminals for people, over a WebSocket',
    group: ({ shells }) => shells?.interactiveUrl,
  },
  {
    name: 'network_policies',
    text: 'network policy updates while a sandbox runs',
    group: ({ networkPolicies }) => networkPolicies,
  },
  {
    name: 'network_activity',
    text: 'reports of allowed and refused connections',
    group: ({ networkPolicies }) => networkPolicies?.activity,
  },
  {
    name: 'rule_effects',
    text: 'rules that forward or answer requests',
    group: ({ networkPolicies }) => networkPolicies?.ruleEffects,
  },
  { name: 'sources', text: 'git, tarball and snapshot sources', group: ({ sources }) => sources },
  { name: 'git', text: 'git fetch from a sandbox', group: ({ git }) => git },
  { name: 'images', text: 'images imported from files', group: ({ images }) => images },
  {
    name: 'ownership',
    text: 'sandboxes end after the death of their last server: locally within a second, in the cloud within minutes',
    group: ({ ownership }) => ownership,
  },
  { name: 'regions', text: 'choice of region', group: ({ regions }) => regions },
  {
    name: 'named_sandboxes',
    text: 'named sandboxes, resumable with their files from any machine',
    group: ({ persistence }) => persistence,
  },
];

/** The names of the groups that an engine has. */
export function capabilitiesOf(engine: Engine): string[] {
  return CAPABILITIES.filter(({ group }) => group(engine) !== undefined).map(({ name }) => name);
}
