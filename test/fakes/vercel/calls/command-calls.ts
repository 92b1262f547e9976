/** The calls about commands. */
import { constants } from 'node:os';
import { posix } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { z } from 'zod';
import type { Command, Engine, OutputStream } from '../../../../src/engines/engine.ts';
import { newCommandId } from '../../../../src/shared/ids.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { commandPayload, type SessionRecord } from '../cloud/records.ts';
import { runBelow } from '../cloud/run-below.ts';
import { asApi, never } from '../cloud/work.ts';
import { ApiFailure, type ApiRequest, answer, type Line, type Reply } from '../wire/reply.ts';
import { bodyOf } from './sandbox-calls.ts';

/** Bytes of output in a line of a stream. */
const CHUNK_BYTES = 65_536;

/** In the environment of each command: its id, by which its process is found. */
const MARK = 'STAND_IN_COMMAND';
/** The first process that carries the tag is the command's own. */
const SIGNAL_SCRIPT = `first=
for dir in /proc/[0-9]*; do
  pid=\${dir#/proc/}
  [[ -n $first && $pid -gt $first ]] && continue
  while IFS= read -r -d '' line; do [[ $line == "$1" ]] && first=$pid; done 2> /dev/null < "$dir/environ"
done 2> /dev/null
[[ -z $first ]] || kill -"$0" "$first"`;

const runRequest = z.strictObject({
  command: z.string().min(1),
  args: z.array(z.string()).optional(),
  cwd: z.string().optional(),
  env: z.record(z.string(), z.string()).optional(),
  sudo: z.boolean().optional(),
  wait: z.boolean().optional(),
  logs: z.boolean().optional(),
  timeout: z.number().int().min(1).optional(),
});

const killRequest = z.strictObject({ signal: z.number().int().min(1).max(64).optional() });

export async function runCommand(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const session = await cloud.running(request.names[0] ?? '');
  const body = await bodyOf(request, runRequest);
  const commandId = newCommandId(session.below);
  if (body.sudo === true) cloud.asRoot.add(commandId);
  const command = await asApi(() =>
    cloud.engine.commands.start(
      {
        commandId,
        sandboxId: session.below,
        cmd: body.command,
        args: body.args ?? [],
        cwd: posix.resolve(session.sandbox.cwd, body.cwd ?? ''),
        env: { ...body.env, [MARK]: cloud.commandIds.above(commandId) },
        sudo: body.sudo ?? false,
        timeoutMs: body.timeout ?? null,
      },
      never(),
    ),
  );
  cloud.deeds.commands.push({ sandbox: session.sandbox.name, cmd: body.command, args: body.args ?? [] });
  if (body.wait !== true) return replyWith(cloud, session, command);
  const lines = followLines(cloud, session, command, body.logs === true, request.signal);
  return { kind: 'lines', lines };
}

function replyWith(cloud: Cloud, session: SessionRecord, command: Command): Reply {
  return answer('CommandResponse', {
    command: commandPayload(session.id, cloud.commandIds.above(command.commandId), command),
  });
}

async function commandOf(cloud: Cloud, { names: [id = '', commandId = ''] }: ApiRequest) {
  const session = await cloud.running(id);
  const below = cloud.commandIds.below(commandId);
  const command = below === '' ? null : await asApi(() => cloud.engine.commands.get(below, never()));
  if (command?.sandboxId !== session.below)
    throw new ApiFailure(404, 'not_found', `Command not found: ${commandId}`);
  return { session, command };
}

export async function getCommand(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { session, command } = await commandOf(cloud, request);
  return replyWith(cloud, session, command);
}

export async function waitForCommand(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { session, command } = await commandOf(cloud, request);
  const finished = await cloud.engine.commands.wait(command.commandId, request.signal);
  if (isTakenAlong(finished)) throw new ApiFailure(410, 'sandbox_stopped', 'Sandbox was stopped');
  return answer('CommandFinishedResponse', {
    command: commandPayload(session.id, cloud.commandIds.above(command.commandId), finished),
  });
}

/** Signals only the command's own process, not its children: the platform promises no more. */
export async function killCommand(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { session, command } = await commandOf(cloud, request);
  const { signal = constants.signals.SIGTERM } = await bodyOf(request, killRequest);
  if (command.status === 'running') {
    const args = ['-c', SIGNAL_SCRIPT, String(signal), `${MARK}=${request.names[1]}`];
    const { exitCode, stderr } = await runBelow(cloud.engine, session.below, 'bash', args, {
      sudo: cloud.asRoot.has(command.commandId),
    });
    if (exitCode !== 0) throw new ApiFailure(400, 'bad_request', `Could not signal the command: ${stderr}`);
  }
  return replyWith(cloud, session, await asApi(() => cloud.engine.commands.get(command.commandId, never())));
}

export async function streamLogs(cloud: Cloud, request: ApiRequest): Promise<Reply> {
  const { command } = await commandOf(cloud, request);
  return { kind: 'lines', lines: logLines(cloud.engine, command, request.signal) };
}

/** The stream of `wait: true`: the command, its output, the command with its exit code. */
async function* followLines(
  cloud: Cloud,
  session: SessionRecord,
  command: Command,
  logs: boolean,
  signal: AbortSignal,
): AsyncGenerator<Line> {
  yield {
    value: {
      command: commandPayload(session.id, cloud.commandIds.above(command.commandId), {
        ...command,
        exitCode: null,
      }),
    },
    validator: 'CommandResponse',
  };
  for await (const line of logLines(cloud.engine, command, signal)) {
    const failed = typeof line.value === 'object' && line.value !== null && Reflect.get(line.value, 'stream');
    if (logs || failed === 'error') yield line;
    if (failed === 'error') return;
  }
  const finished = await cloud.engine.commands.wait(command.commandId, signal);
  yield {
    value: { command: commandPayload(session.id, cloud.commandIds.above(command.commandId), finished) },
    validator: 'CommandFinishedResponse',
  };
}

/** Everything from the start, then what comes, until the command has finished. */
async function* logLines(engine: Engine, { commandId }: Command, signal: AbortSignal): AsyncGenerator<Line> {
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  const line = (stream: OutputStream, data: string): Line => ({
    value: { stream, data },
    validator: 'LogLine',
  });
  let offset = 0;
  for (;;) {
    const command = await engine.commands.waitForOutput(commandId, offset, signal);
    for (;;) {
      const slice = await engine.commands.readOutput(
        commandId,
        { stream: 'both', offset, limit: CHUNK_BYTES },
        signal,
      );
      if (slice.nextOffset === offset) break;
      // The engine below bounds what it keeps; dropped bytes are replaced by lines of two bytes.
      for (let left = slice.droppedBytes; left > 0; left -= CHUNK_BYTES)
        yield line('stdout', '.\n'.repeat(CHUNK_BYTES / 2).slice(0, left));
      for (const { stream, data } of slice.chunks) {
        const text = decoders[stream].write(data);
        if (text !== '') yield line(stream, text);
      }
      offset = slice.nextOffset;
    }
    if (command.status !== 'finished' || offset < command.stdoutBytes + command.stderrBytes) continue;
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = decoders[stream].end();
      if (rest !== '') yield line(stream, rest);
    }
    if (isTakenAlong(command)) {
      const data = { code: 'sandbox_stopped', message: 'Sandbox was stopped while streaming' };
      yield { value: { stream: 'error', data }, validator: 'LogLine' };
    }
    return;
  }
}

/** Ended with its session, so the service has no exit code for it. */
function isTakenAlong({ endedBy }: Command): boolean {
  return endedBy === 'sandbox_stopped' || endedBy === 'session_end';
}
