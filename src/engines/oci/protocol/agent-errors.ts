import { SandboxError } from '../../../shared/errors.ts';
import { readOnlyDirectoryError } from '../../../shared/read-only-directory-error.ts';
import { AgentDisconnectedError, AgentError } from './agent-connection.ts';

/** What the caller would call the steps that the agent names; a step that is left out is called as it is. */
const WORDS: Partial<Record<string, string>> = {
  create: 'write',
  stage: 'write',
  entry: 'write',
  rename: 'write',
  symlink: 'write',
  chmod: 'write',
  mkdir: 'make',
  stat: 'look at',
  readdir: 'list',
  readlink: 'read',
  open: 'read',
  fork: 'start a program for',
};
/** Steps that make what is missing: there, something missing is a directory that takes nothing new, as those of `/proc`. */
const MAKING = ['create', 'stage', 'mkdir'];

/** What an errno of the agent's means to the caller; `path` is the sandbox's, as the agent named it. */
function describe(error: AgentError, path: string): SandboxError {
  const details = { path, errno: error.errno };
  const doing = WORDS[error.what] ?? error.what;
  switch (error.errno) {
    case 'ENOENT':
      if (MAKING.includes(error.what)) return readOnlyDirectoryError(path, details);
      return new SandboxError('not_found', `There is no "${path}" in the sandbox.`, {
        hint: 'List the directory with sandbox_run_command (cmd: "ls"), or correct the path.',
        details,
      });
    case 'EISDIR':
      return new SandboxError('invalid_argument', `"${path}" is a directory, where a file is meant.`, {
        hint: 'Name a file inside it; whole directories move with sandbox_download_file and sandbox_upload_file.',
        details,
      });
    case 'EEXIST':
    case 'ENOTDIR':
      return new SandboxError(
        'invalid_argument',
        `"${path}" or a part of it is a file, where a directory is meant.`,
        {
          hint: 'Correct the path; relative paths start at cwd.',
          details,
        },
      );
    case 'EINVAL':
      if (error.what === 'not_regular') {
        return new SandboxError(
          'invalid_argument',
          `"${path}" is a device, fifo or socket, not a regular file.`,
          {
            hint: 'Read it with sandbox_run_command if that is meant.',
            details,
          },
        );
      }
      break;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new SandboxError(
        'permission',
        `The sandbox's user may not ${doing} "${path}" (${error.errno}).`,
        {
          hint: 'Use a path below /vercel/sandbox, or sandbox_run_command with sudo: true.',
          details,
        },
      );
    case 'ENAMETOOLONG':
      return new SandboxError('invalid_argument', `"${path.slice(0, 300)}" is too long (${error.errno}).`, {
        hint: 'A name has at most 255 bytes, a whole path 4,095, and a tree that is moved 200 levels: give a shorter one.',
        details,
      });
    case 'ELOOP':
      return new SandboxError(
        'invalid_argument',
        `"${path}" cannot be resolved: there are too many links on the way (${error.errno}).`,
        {
          hint: 'Look at the links with sandbox_run_command (cmd: "ls", args: ["-l"]), or correct the path.',
          details,
        },
      );
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new SandboxError('limit_exceeded', `No space is left for "${path}" (${error.errno}).`, {
        hint: 'Remove files in the sandbox, or free disk space on its host.',
        details,
      });
    case 'EAGAIN':
    case 'ENOMEM':
      return new SandboxError('limit_exceeded', 'The sandbox is at its process or memory limit.', {
        hint: 'End what runs with command_kill, or create a sandbox with more vcpus.',
        details,
      });
    default:
  }
  return new SandboxError('server', `The sandbox's system refused to ${doing} "${path}" (${error.errno}).`, {
    details,
  });
}

/** Turns what a request to the agent threw into a `SandboxError`; `path` names what the request was about. */
export function fromAgentError(error: unknown, path: string): unknown {
  if (error instanceof AgentError) return describe(error, error.path === '' ? path : error.path);
  if (error instanceof AgentDisconnectedError) {
    return new SandboxError('conflict', 'The sandbox ended while the call was under way.', {
      hint: 'Call sandbox_get to see why; sandbox_create makes a new one.',
      cause: error,
    });
  }
  return error;
}
