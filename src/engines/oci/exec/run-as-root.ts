import { SandboxError } from '../../../shared/errors.ts';
import { newCommandId } from '../../../shared/ids.ts';
import type { OciCommands } from './commands.ts';

const LIMIT_MS = 300_000;
const MAX_OUTPUT = 1_000;

/**
 * Runs a shell script in a sandbox as its root. It is not listed among the sandbox's commands.
 *
 * @throws `server` unless it exits with 0
 */
export async function runAsRoot(
  commands: OciCommands,
  sandboxId: string,
  script: string,
  scriptArgs: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const commandId = newCommandId(sandboxId);
  const args = ['-c', script, 'sandbox-mcp', ...scriptArgs];
  const start = { commandId, sandboxId, cmd: '/bin/sh', args, cwd: '/', env: {} };
  await commands.start({ ...start, sudo: true, timeoutMs: LIMIT_MS }, signal);
  const { exitCode } = await commands.wait(commandId, signal);
  const range = { stream: 'stderr' as const, offset: 0, limit: MAX_OUTPUT };
  const { chunks } = await commands.readOutput(commandId, range, signal);
  await commands.discard(commandId);
  if (exitCode === 0) return;
  const said = Buffer.concat(chunks.map(({ data }) => data)).toString('utf8');
  throw new SandboxError('server', `The workspace could not be set up: ${said.trim() || exitCode}.`, {
    hint: 'Call sandbox_create again, or without workspace.path.',
  });
}
