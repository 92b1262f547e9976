import { SandboxError } from '../../../shared/errors.ts';
import { readOnlyDirectoryError } from '../../../shared/read-only-directory-error.ts';
import { AgentDisconnectedError, AgentError } from './agent-connection.ts';

/** Descriptions of the steps that the agent names; others are shown as they are. */
const ACTIONS: Partial<Record<string, string>> = {
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
/**
 * Steps that create missing paths: their ENOENT means a directory that accepts no new entries, such as those
 * of `/proc`.
 */
const MAKING = ['create', 'stage', 'mkdir'];

/** Translates an errno of the agent; `path` is a path in the sandbox, as the agent named it. */
function describe(error: AgentError, path: string): SandboxError {
  const details = { path, errno: error.errno };
  const doing = ACTIONS[error.what] ?? error.what;
  switch (error.errno) {
    case 'ENOENT':
      if (MAKING.includes(error.what)) return readOnlyDirectoryError(path, details);
      return new SandboxError('not_found', `"${path}" does not exist in the sandbox.`, {
        hint: 'List the directory with sandbox_run_command (cmd: "ls"), or correct the path.',
        details,
      });
    case 'EISDIR':
      return new SandboxError('invalid_argument', `Expected a file, but "${path}" is a directory.`, {
        hint: 'Name a file inside it; to copy whole directories use sandbox_download_file and sandbox_upload_file.',
        details,
      });
    case 'EEXIST':
    case 'ENOTDIR':
      return new SandboxError(
        'invalid_argument',
        `Expected a directory, but "${path}" or a part of it is a file.`,
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
            hint: 'To read it anyway, use sandbox_run_command.',
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
        `The sandbox's user has no permission to ${doing} "${path}" (${error.errno}).`,
        {
          hint: 'Use a path below /vercel/sandbox, or sandbox_run_command with sudo: true.',
          details,
        },
      );
    case 'ENAMETOOLONG':
      return new SandboxError('invalid_argument', `"${path.slice(0, 300)}" is too long (${error.errno}).`, {
        hint: 'Shorten it: a name may have 255 bytes, a path 4,095 bytes, and a transferred tree 200 levels.',
        details,
      });
    case 'ELOOP':
      return new SandboxError(
        'invalid_argument',
        `"${path}" cannot be resolved: too many symbolic links (${error.errno}).`,
        {
          hint: 'Check the links with sandbox_run_command (cmd: "ls", args: ["-l"]), or correct the path.',
          details,
        },
      );
    case 'ENOSPC':
      if (error.what === 'terminal') {
        return new SandboxError('limit_exceeded', 'The sandbox has no terminal left.', {
          hint: 'Close shells with shell_close, or end the programs that opened terminals.',
          details,
        });
      }
      return noSpace(error, path, details);
    case 'EDQUOT':
    case 'EFBIG':
      return noSpace(error, path, details);
    case 'EAGAIN':
    case 'ENOMEM':
      return new SandboxError('limit_exceeded', 'The sandbox is at its process or memory limit.', {
        hint: 'Stop commands with command_kill, or create a sandbox with more vcpus.',
        details,
      });
    default:
  }
  return new SandboxError('server', `The sandbox's system refused to ${doing} "${path}" (${error.errno}).`, {
    details,
  });
}

function noSpace(error: AgentError, path: string, details: Record<string, string>): SandboxError {
  return new SandboxError('limit_exceeded', `No space left for "${path}" (${error.errno}).`, {
    hint: 'Remove files in the sandbox, or free disk space on its host.',
    details,
  });
}

/** Converts an error of a request to the agent to a `SandboxError`; `path` is the request's path. */
export function fromAgentError(error: unknown, path: string): unknown {
  if (error instanceof AgentError) return describe(error, error.path === '' ? path : error.path);
  if (error instanceof AgentDisconnectedError) {
    return new SandboxError('conflict', 'The sandbox ended during the call.', {
      hint: 'Call sandbox_get to see why, or sandbox_create for a new sandbox.',
      cause: error,
    });
  }
  return error;
}
