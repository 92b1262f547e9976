import type { Registry } from '../../registry/types.ts';
import type { Terminal } from '../output/terminal.ts';

/**
 * Stops and removes what dead servers left, and removes what is past its retention. Returns exit code 1 if
 * some of it failed; the reasons go to the terminal's `err`.
 *
 * @param includeDamaged also removes sandboxes with damaged ownership records
 */
export async function clean(
  registry: Registry,
  includeDamaged: boolean,
  terminal: Terminal,
): Promise<number> {
  const { signal } = new AbortController();
  const { stopped, forgotten, failed } = await registry.recover(signal, { includeDamaged });
  for (const sandboxId of stopped) terminal.out(`stopped    ${sandboxId}\n`);
  for (const sandboxId of forgotten) terminal.out(`forgotten  ${sandboxId}\n`);
  for (const { id, reason } of failed) terminal.err(`failed     ${id}  ${reason}\n`);
  if (failed.length > 0) {
    terminal.err('Failed items were left as they are. Run `sandbox-mcp doctor` to check this machine.\n');
    return 1;
  }
  if (stopped.length + forgotten.length === 0) terminal.out('Nothing to clean.\n');
  return 0;
}
