import { z } from 'zod';
import type { Command } from '../../src/engines/engine.ts';
import type { CommandHandle, RunRequest } from '../../src/registry/types.ts';
import { withTimeout } from '../../src/shared/async/with-timeout.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { READ_ONLY, REPLACES, RUNS } from '../common/annotations.ts';
import {
  commandId,
  encoding,
  execTooBig,
  fitsExec,
  outputStream,
  sandboxId,
  startShape,
  waitMs,
} from '../common/schemas.ts';
import { isEndingSignal, signalName } from '../common/signal-name.ts';
import { defineTool, type Tool } from '../common/tool.ts';
import { statusReason } from '../sandboxes/sandbox-result.ts';
import { killOnCancel } from './command-cancel.ts';
import { commandLogs } from './command-logs.ts';
import { captureOutput } from './command-output.ts';
import { readOutputPage } from './command-page.ts';
import { commandAnswer, commandOutput } from './command-result.ts';
import { waitForCommand } from './command-wait.ts';
import { inputShape, writeInputFiles } from './start-input.ts';
import { obstacleTo, readinessOf, waitFor, waitUntilReady } from './wait-until-ready.ts';

/** Long enough for a program to end by a signal, so that the result can say how. */
const KILL_MOMENT_MS = 1_000;
/** Room for at least one character. */
const MIN_PAGE_BYTES = 4;
const MAX_PAGE_BYTES = 65_536;

const TOO_BIG = execTooBig('`cmd`, `args` and `env` take');

const run = defineTool({
  name: 'sandbox_run_command',
  title: 'Run command',
  description:
    'Write files, if any, then run a program and wait for it (prompts: sandbox_shell). Shell line: cmd "bash", args ["-c", line]. After wait_ms it continues in the background; follow `next`.',
  toolsets: ['core', 'commands'],
  annotations: RUNS,
  input: z.strictObject({ ...startShape, ...inputShape, wait_ms: waitMs }).refine(fitsExec, TOO_BIG),
  output: commandOutput,
  async handle(args, context) {
    const { session, signal } = context;
    const sandbox = await session.sandbox(args.sandbox_id);
    await writeInputFiles(sandbox, args, signal);
    const handle = await sandbox.run(runRequest(args), signal);
    const release = handle.addWaiter();
    try {
      return await killOnCancel(handle, signal, async () => {
        const command = await waitForCommand(handle, args.wait_ms, context);
        if (command.status !== 'running' || context.continueAsTask === null)
          return answer(handle, command, signal);
        context.continueAsTask(handle.commandId);
        return answer(handle, await handle.wait(signal), signal);
      });
    } finally {
      release();
    }
  },
});

const runDetached = defineTool({
  name: 'sandbox_run_command_detached',
  title: 'Start command',
  description:
    'Start a program in the background: servers, watchers, long jobs. wait_for a port or log line (RE2). Read it with command_logs.',
  searchHint: 'background process, server, daemon',
  toolsets: ['core', 'commands'],
  annotations: RUNS,
  input: z.strictObject({ ...startShape, wait_for: waitFor.optional() }).refine(fitsExec, TOO_BIG),
  output: commandOutput.extend({ ready: z.boolean().nullable() }),
  async handle(args, { session, signal, boundWait }) {
    const { wait_for } = args;
    const sandbox = await session.sandbox(args.sandbox_id);
    const readiness = wait_for && (await readinessOf(wait_for, sandbox, signal));
    const handle = await sandbox.run(runRequest(args), signal);
    if (wait_for === undefined || readiness === undefined) {
      return readyAnswer(null, null, await answer(handle, handle.seen, signal));
    }
    const ready = await waitUntilReady(handle, readiness, boundWait(wait_for.timeout_ms), signal);
    const obstacle = ready ? null : obstacleTo(readiness);
    return readyAnswer(ready, obstacle, await answer(handle, await handle.get(signal), signal));
  },
});

const get = defineTool({
  name: 'sandbox_get_command',
  title: 'Get command',
  description: 'Get the state, exit code and output of a command, running or finished.',
  searchHint: 'exit code of a command',
  toolsets: ['commands'],
  annotations: READ_ONLY,
  input: z.strictObject({ command_id: commandId, sandbox_id: sandboxId }),
  output: commandOutput,
  async handle(args, { session, signal }) {
    const handle = await session.command(args.command_id);
    const { sandboxId: actual } = handle.sandbox;
    if (args.sandbox_id !== undefined && args.sandbox_id !== actual) {
      throw new SandboxError(
        'not_found',
        `Command ${handle.commandId} is not in sandbox ${args.sandbox_id}.`,
        { hint: `Leave sandbox_id out: the command is in ${actual}.` },
      );
    }
    return answer(handle, await handle.get(signal), signal);
  },
});

const wait = defineTool({
  name: 'command_wait',
  title: 'Wait for command',
  description: 'Wait until a command finishes.',
  searchHint: 'wait for a command',
  toolsets: ['core', 'commands'],
  annotations: READ_ONLY,
  input: z.strictObject({ command_id: commandId, wait_ms: waitMs }),
  output: commandOutput,
  async handle(args, context) {
    const handle = await context.session.command(args.command_id);
    const command = await waitForCommand(handle, args.wait_ms, context);
    return answer(handle, command, context.signal);
  },
});

const output = defineTool({
  name: 'command_output',
  title: 'Command output',
  description: 'Read command output by byte offset. Negative offsets count from the end.',
  searchHint: 'full output by byte offset',
  toolsets: ['commands'],
  annotations: READ_ONLY,
  input: z.strictObject({
    command_id: commandId,
    stream: outputStream,
    offset: z.int().default(0),
    limit: z.int().min(MIN_PAGE_BYTES).max(MAX_PAGE_BYTES).default(32_768),
    encoding,
  }),
  output: z.object({
    command_id: z.string(),
    stream: z.string(),
    offset: z.number(),
    encoding: z.string(),
    content: z.string(),
    next_offset: z.number().nullable(),
    total_bytes: z.number(),
    dropped_bytes: z.number(),
    note: z.string().optional(),
  }),
  async handle(args, { session, signal }) {
    const handle = await session.command(args.command_id);
    const page = await readOutputPage(handle, await handle.get(signal), args, signal);
    return {
      structured: {
        command_id: handle.commandId,
        stream: args.stream,
        offset: page.offset,
        encoding: args.encoding,
        content: page.content,
        next_offset: page.nextOffset,
        total_bytes: page.totalBytes,
        dropped_bytes: page.droppedBytes,
        ...(page.note !== null && { note: page.note }),
      },
    };
  },
});

const kill = defineTool({
  name: 'command_kill',
  title: 'Kill command',
  description: 'Signal a command and all its child processes.',
  searchHint: 'stop, signal, terminate a process',
  toolsets: ['core', 'commands'],
  annotations: REPLACES,
  input: z.strictObject({ command_id: commandId, signal: z.string().default('SIGTERM') }),
  output: z.object({
    command_id: z.string(),
    status: z.string(),
    exit_code: z.int().nullable(),
    signal: z.string().nullable(),
    ended_by: z.string().nullable(),
    next: z.string().nullable(),
  }),
  async handle(args, { session, signal }) {
    const name = signalName(args.signal);
    const handle = await session.command(args.command_id);
    const signalled = await handle.kill(name, 'killed', signal);
    const moment = isEndingSignal(name) ? KILL_MOMENT_MS : 0;
    const ended =
      signalled.status === 'finished'
        ? signalled
        : await withTimeout(moment, signal, (limited) => handle.wait(limited));
    const command = ended ?? (await handle.get(signal));
    return {
      structured: {
        command_id: command.commandId,
        status: command.status,
        exit_code: command.exitCode,
        signal: command.signal,
        ended_by: command.endedBy,
        next:
          command.status === 'running'
            ? `Still running: command_wait command_id=${command.commandId}, or command_kill with signal SIGKILL`
            : null,
      },
    };
  },
});

function runRequest(
  args: z.output<z.ZodObject<typeof startShape>> & { stdin?: string | undefined },
): RunRequest {
  return {
    cmd: args.cmd,
    args: args.args ?? [],
    cwd: args.cwd ?? null,
    env: args.env ?? {},
    sudo: args.sudo ?? false,
    stdin: args.stdin,
    timeoutMs: args.timeout_ms ?? null,
  };
}

function readyAnswer(
  ready: boolean | null,
  obstacle: string | null,
  { structured, text }: ReturnType<typeof commandAnswer>,
) {
  const next = [obstacle, structured.next].filter((part) => part !== null).join('. ') || null;
  const reason = obstacle === null ? '' : ` (${obstacle})`;
  return {
    structured: { ...structured, next, ready },
    text: ready === null ? text : `ready: ${ready}${reason}\n${text}`,
  };
}

async function answer(
  handle: CommandHandle,
  command: Command,
  signal: AbortSignal,
): Promise<ReturnType<typeof commandAnswer>> {
  const output = await captureOutput(handle, command, signal);
  if (command.endedBy !== 'sandbox_stopped') return commandAnswer(command, output, null);
  return commandAnswer(command, output, statusReason(await handle.sandbox.view(signal)));
}

/** Tools that start commands or get them, in the order of the tool list. */
export const startTools: readonly Tool[] = [run, runDetached, get];
/** Tools that take a command id, in the order of the tool list. */
export const commandTools: readonly Tool[] = [commandLogs, wait, output, kill];
