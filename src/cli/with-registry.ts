import type { Config } from '../config/config.ts';
import type { Registry } from '../registry/types.ts';
import { SandboxError } from '../shared/errors.ts';
import type { Dependencies } from './dependencies.ts';
import type { FileProblem } from './output/cli-log.ts';
import type { Terminal } from './output/terminal.ts';

/**
 * Opens the registry for a verb and closes it again. Problems with files that did not stop the verb are
 * printed after its result; the one that made it fail becomes the hint of the error.
 */
export async function withRegistry(
  dependencies: Dependencies,
  config: Config,
  terminal: Terminal,
  work: (registry: Registry) => Promise<number>,
): Promise<number> {
  const troubles: FileProblem[] = [];
  const registry = await dependencies.openRegistry(config, (trouble) => troubles.push(trouble));
  try {
    const exitCode = await work(registry);
    for (const trouble of troubles)
      terminal.err(`sandbox-mcp: ${trouble.message}\n${fileAndCause(trouble)}\n`);
    return exitCode;
  } catch (error) {
    throw explained(error, troubles);
  } finally {
    await registry.close('shutdown');
  }
}

function explained(error: unknown, troubles: readonly FileProblem[]): unknown {
  if (!(error instanceof SandboxError) || error.cause === undefined) return error;
  const trouble = troubles.find(({ cause }) => cause === error.cause);
  if (trouble === undefined) return error;
  // A problem with the state directory that only a person can fix, worded for a person.
  return new SandboxError('unavailable', error.message, { hint: fileAndCause(trouble), cause: error });
}

function fileAndCause({ file, cause }: FileProblem): string {
  const reason = cause instanceof Error ? cause.message.split('\n')[0] : '';
  return reason ? `${file}: ${reason}` : file;
}
