import { SandboxError } from '../../../shared/errors.ts';
import type { VercelContext } from '../context.ts';
import { runScript } from '../guest/run-script.ts';
import { inSession } from '../sandbox/get-sandbox.ts';

const LIMIT_MS = 290_000;

/** Runs a script in a sandbox as its root. @throws `server` unless it exits with 0 */
export async function runAsRoot(
  context: VercelContext,
  sandboxId: string,
  script: string,
  args: string[],
  signal: AbortSignal,
): Promise<void> {
  const options = { signal, sudo: true, timeoutMs: LIMIT_MS };
  const { exitCode, stderr } = await inSession(
    context,
    sandboxId,
    'set up the workspace',
    signal,
    (session) => runScript(session, script, args, options),
  );
  if (exitCode === 0) return;
  const said = stderr.trim().slice(0, 1_000);
  throw new SandboxError('server', `The workspace could not be set up: ${said || exitCode}.`, {
    hint: 'Call sandbox_create again, or without workspace.path.',
  });
}
