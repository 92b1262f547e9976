/** The calls that a session under torture makes, each with what the server acknowledges by its answer. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemErrorCode } from '../../src/shared/errors.ts';
import { SandboxLedger } from './ledger.ts';
import type { Player } from './player.ts';
import type { Answer } from './torture-server.ts';

const MAX_SANDBOXES = 3;
const MAX_FILES = 6;
/** Longer than a round: only faults and requests end sandboxes. */
const LIFETIME_MS = 3_600_000;
/** Appends its first argument to the file `runs` and prints as many lines as its second one says. */
const RUN_ONCE = 'sleep $4; echo "$1" >> runs && seq -f "$1 %g" $2 && exit $3';

const created = z.object({ sandbox_id: z.string(), status: z.string() });
const ended = z.object({
  command_id: z.string(),
  status: z.literal('finished'),
  exit_code: z.number(),
  stdout: z.string(),
  truncated: z.literal(false),
});
const started = z.object({ command_id: z.string() });
const transferred = z.object({ status: z.literal('done') });
const snapshotted = z.object({ snapshot_id: z.string() });
const opened = z.object({ shell_id: z.string() });

type Call = (player: Player) => Promise<void>;
type SandboxCall = (player: Player, sandbox: SandboxLedger) => Promise<void>;

/** A call in a random sandbox, at times one of another session; or a create if there is none. */
function inSandbox(call: SandboxCall): Call {
  return async (player) => {
    const reachable = player.reachable();
    const sandbox = reachable[player.below(reachable.length)];
    if (sandbox === undefined) await create(player);
    else await call(player, sandbox);
  };
}

/** A snapshot, and what its files may be. */
interface Source {
  readonly snapshotId: string;
  readonly files: SandboxLedger['files'];
}

async function create(player: Player, source?: Source): Promise<void> {
  if (player.usable().length >= MAX_SANDBOXES) return;
  const keep = player.random() < 0.6;
  const answer = await player.server.call('sandbox_create', {
    keep,
    timeout_ms: LIFETIME_MS,
    resources: { vcpus: 1 },
    ...(source && { source: { type: 'snapshot', snapshot_id: source.snapshotId } }),
  });
  const sandbox = created.safeParse(answer?.data);
  if (!sandbox.success) return;
  player.report.sandboxes += 1;
  const ledger = new SandboxLedger(sandbox.data.sandbox_id, keep);
  // A create that goes on may still fail.
  if (sandbox.data.status !== 'running') ledger.mayHaveEnded = true;
  for (const [path, file] of source?.files ?? []) ledger.files.set(path, file);
  player.sandboxes.push(ledger);
}

async function run(player: Player, sandbox: SandboxLedger): Promise<void> {
  const command = runRequest(player, sandbox, '0');
  const request = { sandbox_id: sandbox.sandboxId, cmd: 'sh', args: command.args };
  acknowledge(player, sandbox, command, await player.server.call('sandbox_run_command', request));
}

/** Starts a command and waits for it, kills it, or leaves it. */
async function runDetached(player: Player, sandbox: SandboxLedger): Promise<void> {
  const command = runRequest(player, sandbox, (player.random() * 0.6).toFixed(2));
  const request = { sandbox_id: sandbox.sandboxId, cmd: 'sh', args: command.args };
  const answer = await player.server.call('sandbox_run_command_detached', request);
  const running = started.safeParse(answer?.data);
  if (!running.success) return;
  const { command_id } = running.data;
  const next = player.random();
  if (next < 0.2) await player.server.call('command_kill', { command_id, signal: 'SIGKILL' });
  else if (next < 0.4) await player.server.call('command_logs', { command_id, wait_ms: 300 });
  else
    acknowledge(
      player,
      sandbox,
      command,
      await player.server.call('command_wait', { command_id, wait_ms: 2_000 }),
    );
}

interface RunRequest {
  readonly token: string;
  readonly exitCode: number;
  readonly lines: number;
  readonly args: string[];
}

function runRequest(player: Player, sandbox: SandboxLedger, pause: string): RunRequest {
  const token = player.token();
  sandbox.tokens.add(token);
  const exitCode = player.below(2) * 7;
  const lines = player.below(400);
  return {
    token,
    exitCode,
    lines,
    args: ['-c', RUN_ONCE, 'sh', token, String(lines), String(exitCode), pause],
  };
}

function acknowledge(
  player: Player,
  sandbox: SandboxLedger,
  { token, exitCode, lines }: RunRequest,
  answer: Answer | null,
): void {
  const command = ended.safeParse(answer?.data);
  // Another exit code is that of a command which found no disk or was ended.
  if (!command.success || command.data.exit_code !== exitCode) return;
  const { command_id: commandId, stdout } = command.data;
  const complete = Array.from({ length: lines }, (_, index) => `${token} ${index + 1}\n`).join('');
  // Output that a full disk did not take is reported as truncated.
  if (stdout !== complete)
    player.report.violation(
      `${sandbox.sandboxId}: ${token} answered ${stdout.length} of ${complete.length} characters`,
    );
  sandbox.runs.push({ token, commandId, stdout });
}

async function write(player: Player, sandbox: SandboxLedger): Promise<void> {
  const path = freePath(player, sandbox);
  if (path === null) return;
  const content = newContent(player);
  const done = sandbox.writing(path, content);
  const files = [{ path, content }];
  const answer = await player.server.call('sandbox_write_files', { sandbox_id: sandbox.sandboxId, files });
  done(answer?.data !== undefined && answer?.data !== null);
}

async function upload(player: Player, sandbox: SandboxLedger): Promise<void> {
  const path = freePath(player, sandbox);
  if (path === null) return;
  const content = newContent(player);
  const localPath = join(player.environment.place.files, `up-${player.token()}`);
  if (!(await wroteFile(localPath, content))) return;
  const done = sandbox.writing(path, content);
  const request = { sandbox_id: sandbox.sandboxId, local_path: localPath, remote_path: path };
  const answer = await player.server.call('sandbox_upload_file', request);
  done(transferred.safeParse(answer?.data).success);
  await rm(localPath, { force: true });
}

async function download(player: Player, sandbox: SandboxLedger): Promise<void> {
  const path = freePath(player, sandbox);
  if (path === null) return;
  const localPath = join(player.environment.place.files, `down-${player.token()}`);
  const file = sandbox.file(path);
  file.busy = true;
  const request = { sandbox_id: sandbox.sandboxId, remote_path: path, local_path: localPath };
  const answer = await player.server.call('sandbox_download_file', request);
  if (transferred.safeParse(answer?.data).success) {
    const content = await readFile(localPath, 'utf8');
    if (!sandbox.allows(path, content) && !sandbox.isDamaged)
      player.report.violation(`${sandbox.sandboxId}: the download of ${path} has another content`);
  }
  file.busy = false;
  await rm(localPath, { force: true });
}

async function shell(player: Player, sandbox: SandboxLedger): Promise<void> {
  const { server } = player;
  const answer = await server.call('sandbox_shell', { sandbox_id: sandbox.sandboxId });
  const terminal = opened.safeParse(answer?.data);
  if (!terminal.success) return;
  const { shell_id } = terminal.data;
  await server.call('shell_send', { shell_id, text: 'echo here', keys: ['enter'], wait_ms: 200 });
  await server.call('shell_close', { shell_id });
}

async function snapshot(player: Player, sandbox: SandboxLedger): Promise<void> {
  if ([...sandbox.files.values()].some(({ busy }) => busy)) return;
  const keepRunning = player.random() < 0.5;
  if (!keepRunning) sandbox.mayHaveEnded = true;
  const before = sandbox.copyFiles();
  const request = { sandbox_id: sandbox.sandboxId, keep_running: keepRunning };
  const answer = await player.server.call('sandbox_snapshot', request);
  const taken = snapshotted.safeParse(answer?.data);
  if (!taken.success) return;
  // A sandbox that keeps running may be written to before and after its files are copied.
  for (const [path, { acknowledged, possible }] of sandbox.files) {
    const file = before.get(path) ?? { acknowledged: null, possible: new Set(), busy: false };
    for (const content of [...possible, ...(acknowledged === null ? [] : [acknowledged])])
      file.possible.add(content);
    before.set(path, file);
  }
  await create(player, { snapshotId: taken.data.snapshot_id, files: before });
}

async function stop(player: Player, sandbox: SandboxLedger): Promise<void> {
  sandbox.mayHaveEnded = true;
  const blocking = player.random() < 0.5;
  await player.server.call('sandbox_stop', { sandbox_id: sandbox.sandboxId, blocking });
}

async function extend(player: Player, { sandboxId }: SandboxLedger): Promise<void> {
  await player.server.call('sandbox_extend_timeout', { sandbox_id: sandboxId, duration_ms: 1_000 });
}

async function cancel(player: Player, { sandboxId }: SandboxLedger): Promise<void> {
  player.server.cancelled('sandbox_run_command', { sandbox_id: sandboxId, cmd: 'sleep', args: ['5'] });
}

const WRONG: readonly (readonly [tool: string, args: Record<string, unknown>])[] = [
  ['sandbox_does_not_exist', {}],
  ['sandbox_get', { sandbox_id: 'sbx_222222222222' }],
  ['sandbox_get', { sandbox_id: 7 }],
  ['sandbox_run_command', { cmd: '' }],
  ['command_wait', { command_id: 'cmd_222222222222', wait_ms: -1 }],
  ['sandbox_write_files', { files: 'none' }],
];

async function wrong(player: Player): Promise<void> {
  const [tool, args] = WRONG[player.below(WRONG.length)] ?? ['session_info', {}];
  await player.server.call(tool, args);
}

async function report(player: Player): Promise<void> {
  await player.server.call(player.random() < 0.5 ? 'session_info' : 'sandbox_list', {});
}

/** With how often each is made, relative to the others. */
export const CALLS: readonly (readonly [weight: number, call: Call])[] = [
  [10, create],
  [25, inSandbox(run)],
  [12, inSandbox(runDetached)],
  [20, inSandbox(write)],
  [6, inSandbox(upload)],
  [6, inSandbox(download)],
  [3, inSandbox(shell)],
  [3, inSandbox(extend)],
  [2, inSandbox(stop)],
  [2, inSandbox(snapshot)],
  [2, inSandbox(cancel)],
  [3, wrong],
  [6, report],
];

/** Null if all are in use. */
function freePath(player: Player, sandbox: SandboxLedger): string | null {
  const path = `f${player.below(MAX_FILES)}`;
  return sandbox.file(path).busy ? null : path;
}

function newContent(player: Player): string {
  return `${player.token()}\n`.repeat(1 + player.below(1_000));
}

/** False on a full disk. */
async function wroteFile(path: string, content: string): Promise<boolean> {
  try {
    await writeFile(path, content);
    return true;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOSPC') throw error;
    await rm(path, { force: true });
    return false;
  }
}
