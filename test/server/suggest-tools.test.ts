import { describe, expect, it } from 'vitest';
import { suggestTools } from '../../src/server/suggest-tools.ts';
import { TOOLS } from '../../tools/index.ts';
import { serve, textOf, toolOf } from './support/connected-server.ts';

const ALL = TOOLS.map(({ name }) => name);
const RUN = ['sandbox_run_command', 'sandbox_shell'];

describe('meantTools', () => {
  it.each([
    ['sandbox_exec', RUN],
    ['exec', RUN],
    ['execute_command', RUN],
    ['sandbox_bash', RUN],
    ['runCode', RUN],
    ['SANDBOX_EXEC', RUN],
    ['terminal', RUN.toReversed()],
    ['open-terminal', RUN.toReversed()],
    ['sandbox_stopp', ['sandbox_stop']],
    ['shell_sent', ['shell_send']],
    ['sandbox_run_comand_detached', ['sandbox_run_command_detached']],
    ['run', ['sandbox_run_command', 'sandbox_run_command_detached']],
    ['weather', []],
    ['', []],
  ])('%s is %j', (unknown, meant) => {
    expect(suggestTools(unknown, ALL)).toEqual(meant);
  });

  it('names only the tools offered', () => {
    expect(suggestTools('terminal', ['command_logs'])).toEqual([]);
    expect(suggestTools('bash', ['sandbox_shell'])).toEqual(['sandbox_shell']);
  });
});

it('an unknown tool is answered with the tool its name means', async () => {
  const { client } = await serve(ALL.map((name) => toolOf(name, async () => '')));
  const result = await client.callTool({ name: 'sandbox_exec', arguments: {} });
  expect(result.isError).toBe(true);
  expect(textOf(result)).toContain('Next step: Call sandbox_run_command or sandbox_shell.');
});
