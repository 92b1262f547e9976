import type { Registry } from '../registry/contract.ts';
import type { Terminal } from './parts.ts';

/** Stops and removes what dead servers left, and forgets what is past its retention. */
export async function clean(registry: Registry, terminal: Terminal): Promise<number> {
  const { stopped, forgotten } = await registry.recover(new AbortController().signal);
  for (const sandboxId of stopped) terminal.out(`stopped    ${sandboxId}\n`);
  for (const sandboxId of forgotten) terminal.out(`forgotten  ${sandboxId}\n`);
  if (stopped.length + forgotten.length === 0) terminal.out('Nothing to clean.\n');
  return 0;
}
