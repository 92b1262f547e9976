import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The slowest files, so that the run does not end waiting for one of them. */
const LONG = [
  'oci/conformance.',
  'oci/conformance-rootless',
  'vercel/conformance.',
  'escape/escape',
  'images/apt',
  'crash/owner-death',
  'crash/kill',
  'faults/faults-commands',
  'egress/circumvention',
  'server/bad-clients',
  'stdio/revision-probe',
  'vercel/sessions',
  'commands/command-capture',
  'scripts/package',
  'source/tarball',
  'shells/shell-programs',
  'crash/rootless',
  'crash/session-end',
  'source/git',
  'commands/command-end',
  'agent/init',
  'agent/kill',
  'shells/shell-life',
  'http/smuggling.',
  'crash/client-death',
  'images/node-runtime',
  'egress/secrets',
  'vercel/files',
  'snapshot-crash',
  'demo/demo',
  'cli/verbs',
  'faults/faults-life',
  'faults/faults-files',
  'bench/overload',
  'agent/fuzz',
  'images/pull',
  'sandboxes/disk',
  'route-connection',
  'workspaces/workspace',
  'cli/image',
  'server/eras',
  'torture/torture',
  'shells/interactive',
  'source-credentials',
  'escape/counters',
  'transfers/race',
  'background-transfer',
  'cli/volume',
  'library-clients',
  'header-rules-programs',
  'large-transfer',
  'engines/reference',
  'regular-expressions',
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
