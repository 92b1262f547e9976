import { type ErrorCode, SandboxError } from '../../../shared/errors.ts';
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

interface Problem {
  code: ErrorCode;
  message: string;
  hint: string;
}

/** Translates an errno of the agent; `path` is a path in the sandbox, as the agent named it. */
function describe(error: AgentError, path: string): SandboxError {
  const details = { path, errno: error.errno };
  if (error.errno === 'ENOENT' && MAKING.includes(error.what)) return readOnlyDirectoryError(path, details);
  const doing = ACTIONS[error.what] ?? error.what;
  const problem =
    pathProblem(error, path) ?? accessProblem(error, doing, path) ?? resourceProblem(error, path);
  if (problem !== null)
    return new SandboxError(problem.code, problem.message, { hint: problem.hint, details });
  const message = `The sandbox's system refused to ${doing} "${path}" (${error.errno}).`;
  return new SandboxError('server', message, { details });
}

/** A path that does not lead to what the request needs. */
function pathProblem({ errno, what }: AgentError, path: string): Problem | null {
  switch (errno) {
    case 'ENOENT':
      return {
        code: 'not_found',
        message: `"${path}" does not exist in the sandbox.`,
        hint: 'List the directory with sandbox_run_command (cmd: "ls"), or correct the path.',
      };
    case 'EISDIR':
      return {
        code: 'invalid_argument',
        message: `Expected a file, but "${path}" is a directory.`,
        hint: 'Name a file inside it; to copy whole directories use sandbox_download_file and sandbox_upload_file.',
      };
    case 'EEXIST':
    case 'ENOTDIR':
      return {
        code: 'invalid_argument',
        message: `Expected a directory, but "${path}" or a part of it is a file.`,
        hint: 'Correct the path; relative paths start at cwd.',
      };
    case 'ENAMETOOLONG':
      return {
        code: 'invalid_argument',
        message: `"${path.slice(0, 300)}" is too long (${errno}).`,
        hint: 'Shorten it: a name may have 255 bytes, a path 4,095 bytes, and a transferred tree 200 levels.',
      };
    case 'ELOOP':
      return {
        code: 'invalid_argument',
        message: `"${path}" cannot be resolved: too many symbolic links (${errno}).`,
        hint: 'Check the links with sandbox_run_command (cmd: "ls", args: ["-l"]), or correct the path.',
      };
    default:
  }
  if (errno !== 'EINVAL' || what !== 'not_regular') return null;
  return {
    code: 'invalid_argument',
    message: `"${path}" is a device, fifo or socket, not a regular file.`,
    hint: 'To read it anyway, use sandbox_run_command.',
  };
}

function accessProblem({ errno }: AgentError, doing: string, path: string): Problem | null {
  if (!['EACCES', 'EPERM', 'EROFS'].includes(errno)) return null;
  return {
    code: 'permission',
    message: `The sandbox's user has no permission to ${doing} "${path}" (${errno}).`,
    hint: 'Use a path below /vercel/sandbox, or sandbox_run_command with sudo: true.',
  };
}

/** Something that the sandbox has used up. */
function resourceProblem({ errno, what }: AgentError, path: string): Problem | null {
  if (errno === 'ENOSPC' && what === 'terminal')
    return {
      code: 'limit_exceeded',
      message: 'The sandbox has no terminal left.',
      hint: 'Close shells with shell_close, or end the programs that opened terminals.',
    };
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return {
        code: 'limit_exceeded',
        message: `No space left for "${path}" (${errno}).`,
        hint: 'Remove files in the sandbox, or free disk space on its host.',
      };
    case 'EAGAIN':
    case 'ENOMEM':
      return {
        code: 'limit_exceeded',
        message: 'The sandbox is at its process or memory limit.',
        hint: 'Stop commands with command_kill, or create a sandbox with more vcpus.',
      };
    default:
      return null;
  }
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
