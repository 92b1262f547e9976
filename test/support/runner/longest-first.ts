import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The slowest files, so that the run does not end waiting for one of them. */
const LONG = [
  'oci/conformance.',
  'oci/conformance-rootless',
  'faults/faults-commands',
  'vercel/conformance.',
  'images/apt',
  'commands/command-end',
  'faults/faults-life',
  'escape/escape',
  'crash/kill',
  'egress/circumvention',
  'crash/owner-death',
  'vercel/sessions',
  'torture/torture',
  'snapshot-crash',
  'test/egress/secrets',
  'crash/rootless',
  'faults/faults-snapshots',
  'shells/shell-life',
  'images/node-runtime',
  'http/smuggling.',
  'agent/init',
  'agent/fuzz',
  'faults/faults-files',
  'demo/demo',
  'header-rules-programs',
  'route-connection',
  'sandboxes/disk',
];

/**
 * Starts the long files first, the other system tests next and the short unit tests last, to fill the gaps.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

function rank({ moduleId, project }: TestSpecification): number {
  if (project.name === 'unit') return LONG.length + 1;
  const index = LONG.findIndex((name) => moduleId.includes(name));
  return index === -1 ? LONG.length : index;
}
