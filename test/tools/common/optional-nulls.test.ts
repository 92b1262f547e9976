import { describe, expect, it } from 'vitest';
import { TOOLS } from '../../../tools/index.ts';

function check(name: string, args: unknown): string[] {
  const prepared = TOOLS.find((tool) => tool.name === name)?.prepare(args);
  if (prepared === undefined) throw new Error(`There is no tool ${name}.`);
  return prepared.error?.issues.map(({ path }) => path.join('.')) ?? [];
}

describe('null for an argument', () => {
  it('counts as omitted when the argument is optional, at any depth', () => {
    expect(check('sandbox_list', { limit: null, cursor: null, since: null })).toEqual([]);
    expect(check('sandbox_run_command', { cmd: 'ls', args: null, env: null, wait_ms: null })).toEqual([]);
    expect(
      check('sandbox_create', {
        source: { type: 'tarball', url: 'https://example.com/a.tgz', revision: null, depth: null },
        resources: { vcpus: null },
        network_policy: { mode: 'custom', rules: [{ domain: 'example.com', match: null, headers: null }] },
      }),
    ).toEqual([]);
    expect(check('sandbox_write_files', { files: [{ path: 'a', content: '', mode: null }] })).toEqual([]);
  });

  it('is rejected when the argument is required, and in a list', () => {
    expect(check('sandbox_run_command', { cmd: null })).toEqual(['cmd']);
    expect(check('sandbox_run_command', { cmd: 'ls', args: [null] })).toEqual(['args.0']);
    expect(check('sandbox_run_command', { cmd: 'ls', env: { A: null } })).toEqual(['env.A']);
    expect(check('sandbox_list', null)).toEqual(['']);
  });
});

describe('since and until', () => {
  it.each([1_767_225_600_000, '1767225600000', '2026-01-01T00:00:00Z', '2026-01-01', '0', 0])(
    'accept %j',
    (since) => expect(check('sandbox_list', { since })).toEqual([]),
  );

  it.each(['yesterday', '', {}, '99999999999999999'])('reject %j', (since) =>
    expect(check('sandbox_list', { since })).toEqual(['since']),
  );
});
