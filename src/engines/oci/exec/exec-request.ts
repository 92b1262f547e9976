import { SandboxError } from '../../../shared/errors.ts';
import { PROGRAM_DEFAULTS } from '../../../shared/program-defaults.ts';
import { TIMEOUT_GRACE_MS } from '../../../shared/signals.ts';
import type { OpenShell, StartCommand } from '../../engine.ts';
import { processLimit } from '../container/boot.ts';
import type { OciContext } from '../context.ts';
import { caEnvironment } from '../host/ca/ca-trust.ts';
import { encodeFields, type FieldValue, MAX_BODY, TAG } from '../protocol/frames.ts';
import { DEFAULT_SHELL, type SandboxRecord } from '../state/sandbox-record.ts';

/** The terminal type that clients of our terminals emulate. */
const TERM = 'xterm-256color';

/** Who a program runs as. The `SUDO_` variables are those of sudo(8): git trusts the files of their user. */
const USER = { HOME: '/home/vercel-sandbox', USER: 'vercel-sandbox', LOGNAME: 'vercel-sandbox' };
const ROOT = {
  HOME: '/root',
  USER: 'root',
  LOGNAME: 'root',
  SUDO_UID: '1000',
  SUDO_GID: '1000',
  SUDO_USER: 'vercel-sandbox',
};

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Where `pip install --user`, pipx, uv and others put programs. */
const LOCAL_BIN = '.local/bin';
const USERS_PATH = `${USER.HOME}/${LOCAL_BIN}:`;

/** The PATH of a sandbox, unless its creator gives one. */
export function defaultPath(ofImage = SYSTEM_PATH): string {
  return `${USERS_PATH}${ofImage}`;
}

/** What the engine adds to what is requested. */
type ProgramSettings = Pick<OciContext, 'secrets' | 'timeZone'>;

/**
 * A program's environment: its user, then the sandbox's variables, then its own. Secrets are filled in here
 * and not stored.
 */
function environment(
  sandbox: SandboxRecord,
  request: Pick<StartCommand, 'sudo' | 'env'>,
  { secrets, timeZone }: ProgramSettings,
): Record<string, string> {
  const given = secrets.fillEnvironment({ ...sandbox.env, ...request.env });
  const trust = sandbox.caBundle === null ? {} : caEnvironment(sandbox.caBundle);
  const path = given['PATH'] ?? defaultPath();
  return {
    SHELL: sandbox.shell,
    ...PROGRAM_DEFAULTS,
    ...parallelism(sandbox.vcpus),
    ...(timeZone === null ? {} : { TZ: timeZone }),
    ...(request.sudo ? ROOT : USER),
    ...trust,
    ...given,
    // Root of the sandbox finds its own programs, too. Nobody else may search its directory.
    PATH: request.sudo && path.startsWith(USERS_PATH) ? `${ROOT.HOME}/${LOCAL_BIN}:${path}` : path,
  };
}

/**
 * For programs that count the processors of the machine and not those of the cgroup: `nproc` and OpenMP, and Go
 * before 1.25.
 */
function parallelism(vcpus: number): Record<string, string> {
  const count = String(Math.ceil(vcpus));
  return { OMP_NUM_THREADS: count, GOMAXPROCS: count };
}

type RequestField = [tag: number, value: FieldValue];

/** The fields of every request to start a program. */
function programFields(
  sandbox: SandboxRecord,
  argv: string[],
  env: Record<string, string>,
  request: { cwd: string; sudo: boolean },
): RequestField[] {
  return [
    ...argv.map((word): RequestField => [TAG.argv, word]),
    ...Object.entries(env).map(([name, value]): RequestField => [TAG.env, `${name}=${value}`]),
    [TAG.cwd, request.cwd],
    [TAG.sudo, request.sudo ? 1 : 0],
    // RLIMIT_NPROC only where no cgroup limits the sandbox's processes.
    [TAG.nproc, sandbox.enforced.pids ? 0 : processLimit(sandbox.vcpus)],
  ];
}

/**
 * @throws `invalid_argument` if program, arguments and environment together exceed a frame; for a secret in
 *   the environment what `SecretStore.fillEnvironment` throws
 */
export function encodeRun(
  sandbox: SandboxRecord,
  request: StartCommand,
  cwd: string,
  settings: ProgramSettings,
): Buffer {
  const env = environment(sandbox, request, settings);
  return encodeBounded([
    [TAG.id, request.commandId],
    ...programFields(sandbox, [request.cmd, ...request.args], env, { cwd, sudo: request.sudo }),
    ...(request.stdin === undefined ? [] : [[TAG.stdin, request.stdin] satisfies RequestField]),
    [TAG.timeoutMs, request.timeoutMs ?? 0],
    [TAG.graceMs, TIMEOUT_GRACE_MS],
  ]);
}

/** @throws as `encodeRun` */
export function encodeShell(
  sandbox: SandboxRecord,
  request: OpenShell,
  cwd: string,
  settings: ProgramSettings,
): Buffer {
  const env = { TERM, ...environment(sandbox, request, settings) };
  // The default shell means the sandbox's own shell: not every image has bash.
  const usual = request.command.length === 1 && request.command[0] === DEFAULT_SHELL;
  const command = usual ? [sandbox.shell] : request.command;
  return encodeBounded([
    ...programFields(sandbox, command, env, { cwd, sudo: request.sudo }),
    ...encodedSize(request.cols, request.rows),
  ]);
}

/** Of programs with pipes. The sandbox may have removed or closed any other directory. */
export const PIPED_CWD = '/';

/**
 * A program with pipes in place of a terminal. Paths in its arguments must be absolute.
 *
 * @throws as `encodeRun`
 */
export function encodePiped(
  sandbox: SandboxRecord,
  request: { command: string[]; env: Record<string, string>; stdin: string },
  settings: ProgramSettings,
): Buffer {
  const asUser = { cwd: PIPED_CWD, sudo: false };
  const env = environment(sandbox, { env: request.env, sudo: false }, settings);
  return encodeBounded([...programFields(sandbox, request.command, env, asUser), [TAG.stdin, request.stdin]]);
}

/** The fields of a terminal's window size. */
export function encodedSize(cols: number, rows: number): RequestField[] {
  return [
    [TAG.cols, cols],
    [TAG.rows, rows],
  ];
}

function encodeBounded(fields: RequestField[]): Buffer {
  const body = encodeFields(fields);
  if (body.length > MAX_BODY) {
    throw new SandboxError(
      'invalid_argument',
      `Arguments and environment take ${body.length} bytes; the limit is ${MAX_BODY}.`,
      {
        hint: `Write large input to a file with sandbox_write_files and pass its path.`,
      },
    );
  }
  return body;
}
