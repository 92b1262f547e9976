import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The slowest files, so that the run does not end waiting for one of them. */
const LONG = [
  'faults/faults-commands',
  'oci/conformance-rootless',
  'egress/circumvention',
  'snapshot-crash',
  'faults/faults-life',
  'crash/kill',
  'escape/escape',
  'oci/conformance.',
  'vercel/conformance.',
  'vercel/sessions',
  'faults/faults-snapshots',
  'shells/shell-life',
  'images/apt',
  'crash/rootless',
  'images/node-runtime',
  'faults/faults-files',
  'agent/fuzz',
  'sandboxes/disk',
  'demo/demo',
];

/** Starts the long files first, the other system tests next and the short unit tests last, to fill the gaps. */
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
