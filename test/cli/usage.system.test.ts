import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TOOLS } from '../../tools/index.ts';
import { runVerb } from '../support/run-verb.ts';

const packageText = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');

describe('the command line', () => {
  it('prints the package version', async () => {
    const { code, out } = await runVerb(['--version']);
    expect(code).toBe(0);
    expect(packageText).toContain(`"version": "${out.trim()}"`);
  });

  it('documents every flag and command', async () => {
    const { code, out } = await runVerb(['--help']);
    expect(code).toBe(0);
    for (const word of ['--state-dir <DIR>', '--read-only', 'doctor', 'clean', 'SANDBOX_MCP_MAX_VCPUS']) {
      expect(out).toContain(word);
    }
  });

  it('lists the tools that the flags select', async () => {
    const all = await runVerb(['tools']);
    expect(all.code).toBe(0);
    expect(names(all.out)).toEqual(TOOLS.map((tool) => tool.name));
    const few = await runVerb(['tools', '--toolsets', 'core', '--read-only']);
    expect(names(few.out)).toEqual(
      TOOLS.filter(
        (tool) =>
          tool.toolsets.includes('core') && (tool.readOnlyAnnotations ?? tool.annotations).readOnlyHint,
      ).map((tool) => tool.name),
    );
  });

  it.each<[string[], Record<string, string>, string]>([
    [
      ['frobnicate'],
      {},
      '"frobnicate" is not a subcommand; valid ones are doctor, list, logs, stop, attach, image, volume, setup, clean, tools.',
    ],
    [['--frobnicate'], {}, "unknown option '--frobnicate'"],
    [['--engin', 'oci'], {}, 'Did you mean --engine?'],
    [['list', 'everything'], {}, 'too many arguments'],
    [['stop'], {}, "missing required argument 'id'"],
    [['--max-vcpus'], {}, "option '--max-vcpus <COUNT>' argument missing"],
    [
      ['--max-vcpus', 'many', 'list'],
      {},
      '--max-vcpus: "many" is not valid; use a whole number from 1 to 10000.',
    ],
    [[], { SANDBOX_MCP_RETENTION: 'ever' }, 'SANDBOX_MCP_RETENTION: "ever" is not a duration'],
  ])('rejects %j with %j', async (args, env, sentence) => {
    const { code, out, err } = await runVerb(args, env);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain(sentence);
    expect(err).toContain('sandbox-mcp --help');
    expect(err).not.toContain('    at ');
  });
});

function names(out: string): (string | undefined)[] {
  return out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ')[0]);
}
