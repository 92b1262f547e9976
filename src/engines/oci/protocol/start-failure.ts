import { SandboxError } from '../../../shared/errors.ts';
import { duplicateCommand } from '../../../shared/id-errors.ts';
import { AgentError } from './agent-connection.ts';
import { fromAgentError } from './agent-errors.ts';

/** Converts an error of starting a program to a `SandboxError`; `cwd` is its working directory. */
export function startFailure(error: unknown, cwd: string): unknown {
  if (error instanceof AgentError && error.errno === 'EEXIST') return duplicateCommand();
  if (error instanceof AgentError && error.what === 'cwd') {
    return new SandboxError(
      'invalid_argument',
      `Cannot enter the working directory "${cwd}" (${error.errno}).`,
      {
        hint: 'Create it with sandbox_mk_dir, or omit cwd to use /vercel/sandbox.',
        details: { cwd, errno: error.errno },
      },
    );
  }
  return fromAgentError(error, cwd);
}
