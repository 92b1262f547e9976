import { SandboxError } from '../errors.ts';

/** What a search for a program exits with if there is no such program. */
export const NO_PROGRAM = 127;
/** What git exits with when it refuses. */
const REFUSED = 128;

/** Why `git upload-pack` of the repository at `path` in a sandbox has written nothing. */
export function gitFailure(exitCode: number, path: string): SandboxError {
  if (exitCode === NO_PROGRAM) {
    return new SandboxError('unsupported', 'There is no git in the sandbox.', {
      hint: 'Install git in the sandbox, or create one with a runtime that has it.',
    });
  }
  const quoted = JSON.stringify(path);
  if (exitCode !== REFUSED) {
    return new SandboxError(
      'server',
      `Git failed in the sandbox with exit code ${exitCode}; the repository is ${quoted}.`,
      {
        hint: 'Fetch again; sandbox_run_command (cmd: "git", args: ["status"]) shows whether git works.',
        details: { path, exit_code: exitCode },
      },
    );
  }
  return new SandboxError('not_found', `There is no git repository at ${quoted} in the sandbox.`, {
    hint: 'Run git init and commit in the sandbox, or append the path of the repository to the URL.',
    details: { path },
  });
}
