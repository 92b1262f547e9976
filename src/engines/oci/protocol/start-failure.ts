import { SandboxError } from '../../../shared/errors.ts';
import { duplicateCommand } from '../../../shared/id-errors.ts';
import { AgentError } from './agent-connection.ts';
import { fromAgentError } from './agent-errors.ts';

/** Turns what a request to start a program threw into a `SandboxError`; `cwd` is where it was to start. */
export function startFailure(error: unknown, cwd: string): unknown {
  if (error instanceof AgentError && error.errno === 'EEXIST') return duplicateCommand();
  if (error instanceof AgentError && error.what === 'cwd') {
    return new SandboxError(
      'invalid_argument',
      `The working directory "${cwd}" cannot be entered (${error.errno}).`,
      {
        hint: 'Make it with sandbox_mk_dir, or leave cwd out to work in /vercel/sandbox.',
        details: { cwd, errno: error.errno },
      },
    );
  }
  return fromAgentError(error, cwd);
}
