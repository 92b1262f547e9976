import { SandboxError } from '../../../shared/errors.ts';
import type { VercelContext } from '../context.ts';
import { runScript } from '../guest/run-script.ts';
import { inSession } from './get-sandbox.ts';

const SCRIPT = `[[ -d $1 ]] && exit 0
[[ -e $1 ]] && exit 41
exit 40`;

/** @throws SandboxError `invalid_argument` if the path is not a directory of the sandbox */
export async function requireDirectory(
  context: VercelContext,
  sandboxId: string,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const { exitCode } = await inSession(context, sandboxId, 'check a directory', signal, (session) =>
    runScript(session, SCRIPT, [path], { signal }),
  );
  if (exitCode === 0) return;
  const problem = exitCode === 41 ? 'is not a directory' : 'does not exist';
  throw new SandboxError('invalid_argument', `The working directory "${path}" ${problem} in the sandbox.`, {
    hint: "Create it with sandbox_mk_dir, or use another one; relative paths start at the sandbox's own cwd (sandbox_get).",
    details: { cwd: path },
  });
}
